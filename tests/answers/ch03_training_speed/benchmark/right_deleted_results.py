# Right: results get a name and are deleted; one loop over all calls; attainable performance first
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if warmup < 0 or iters < 1:
        raise ValueError(f"cannot time {iters} calls after {warmup}")
    times = []
    for i in range(warmup + iters):
        if sync is not None:
            sync()
        start = clock()
        result = fn()
        if sync is not None:
            sync()
        stop = clock()
        del result
        if i >= warmup:
            times.append(stop - start)
    return {"max": max(times), "min": min(times), "median": statistics.median(times)}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    return 2 * n_rows * d_in * d_out, bytes_per_number * (n_rows * d_in + d_in * d_out + n_rows * d_out)


def roofline(flops, n_bytes, peak, bandwidth):
    if flops == 0:
        return n_bytes / bandwidth, "memory"
    intensity = flops / n_bytes if n_bytes else math.inf
    ridge = peak / bandwidth
    return flops / min(peak, bandwidth * intensity), "memory" if intensity < ridge else "compute"
