# Right: NumPy's numbers, one loop for warm-up and timed calls
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if warmup < 0 or iters < 1:
        raise ValueError("warmup must be at least 0 and iters at least 1")
    wait = sync or (lambda: None)
    times = np.zeros(warmup + iters)
    for i in range(warmup + iters):
        if i >= warmup:
            wait()
        start = clock() if i >= warmup else 0.0
        fn()
        if i >= warmup:
            wait()
            times[i] = clock() - start
    times = times[warmup:]
    return {"median": np.median(times), "min": times.min(), "max": times.max()}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    flops = 2 * n_rows * d_in * d_out
    n_bytes = bytes_per_number * (n_rows * d_in + d_out * d_in + n_rows * d_out)
    return flops, n_bytes


def roofline(flops, n_bytes, peak, bandwidth):
    compute, memory = flops / peak, n_bytes / bandwidth
    return max(compute, memory), "compute" if compute >= memory else "memory"
