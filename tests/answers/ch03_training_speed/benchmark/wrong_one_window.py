# Wrong: one window over all calls, divided by their number and called the median
# Fails: times_a_simulated_device, one_time_for_each_call
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if warmup < 0 or iters < 1:
        raise ValueError("too few calls")
    for _ in range(warmup):
        fn()
    if sync is not None:
        sync()
    start = clock()
    for _ in range(iters):
        fn()
    if sync is not None:
        sync()
    time_per_call = (clock() - start) / iters
    return {"median": time_per_call, "min": time_per_call, "max": time_per_call}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    return 2 * n_rows * d_in * d_out, bytes_per_number * (n_rows * d_in + d_in * d_out + n_rows * d_out)


def roofline(flops, n_bytes, peak, bandwidth):
    compute = flops / peak
    memory = n_bytes / bandwidth
    if compute >= memory:
        return compute, "compute"
    return memory, "memory"
