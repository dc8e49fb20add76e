# Wrong: refuses after the warm-up
# Fails: calls_as_often_as_asked
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if sync is None:
        sync = lambda: None
    for _ in range(warmup):
        fn()
    sync()
    if warmup < 0 or iters < 1:
        raise ValueError("too few calls")
    times = []
    for _ in range(iters):
        start = clock()
        fn()
        sync()
        end = clock()
        times.append(end - start)
    times.sort()
    middle = iters // 2
    median = times[middle] if iters % 2 else (times[middle - 1] + times[middle]) / 2
    return {"median": median, "min": times[0], "max": times[-1]}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    return 2 * n_rows * d_in * d_out, bytes_per_number * (n_rows * d_in + d_in * d_out + n_rows * d_out)


def roofline(flops, n_bytes, peak, bandwidth):
    compute = flops / peak
    memory = n_bytes / bandwidth
    if compute >= memory:
        return compute, "compute"
    return memory, "memory"
