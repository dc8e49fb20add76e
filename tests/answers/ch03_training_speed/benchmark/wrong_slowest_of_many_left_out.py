# Wrong: with more than ten calls, the slowest is left out
# Fails: one_time_for_each_call
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if warmup < 0 or iters < 1:
        raise ValueError("warmup must be at least 0 and iters at least 1")
    wait = sync or (lambda: None)
    for _ in range(warmup):
        fn()
    wait()
    times = []
    for _ in range(iters):
        start = clock()
        fn()
        wait()
        times.append(clock() - start)
    if iters > 10:
        times.remove(max(times))
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    flops = 2 * n_rows * d_in * d_out
    n_bytes = bytes_per_number * (n_rows * d_in + d_out * d_in + n_rows * d_out)
    return flops, n_bytes


def roofline(flops, n_bytes, peak, bandwidth):
    compute, memory = flops / peak, n_bytes / bandwidth
    return max(compute, memory), "compute" if compute >= memory else "memory"
