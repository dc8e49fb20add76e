# Right: NumPy for the statistics, one reading serves as end and as start
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if not (warmup >= 0 and iters >= 1):
        raise ValueError

    def now():
        if sync:
            sync()
        return clock()

    for _ in range(warmup):
        fn()
    readings = np.empty(iters + 1)
    readings[0] = now()
    for i in range(iters):
        fn()
        readings[i + 1] = now()
    times = np.diff(readings)
    return dict(median=float(np.median(times)), min=float(times.min()), max=float(times.max()))


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    shapes = [(n_rows, d_in), (d_out, d_in), (n_rows, d_out)]
    return 2 * int(np.prod([n_rows, d_in, d_out])), sum(bytes_per_number * a * b for a, b in shapes)


def roofline(flops, n_bytes, peak, bandwidth):
    return max((flops / peak, "compute"), (n_bytes / bandwidth, "memory"), key=lambda pair: pair[0])
