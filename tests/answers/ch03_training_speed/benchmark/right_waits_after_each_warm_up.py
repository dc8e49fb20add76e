# Right: waits after each warm-up, too; torch for the statistics; intensities are compared
def bench(fn, warmup=3, iters=20, sync=None, clock=time.perf_counter):
    if warmup < 0:
        raise ValueError("warmup")
    if iters <= 0:
        raise ValueError("iters")
    wait = sync or (lambda: None)
    wait()
    for _ in range(warmup):
        fn()
        wait()
    times = []
    while len(times) < iters:
        begin = clock()
        fn()
        wait()
        times.append(clock() - begin)
    times = torch.tensor(times, dtype=torch.float64)
    return {"median": times.quantile(0.5).item(), "min": times.min().item(), "max": times.max().item()}


def linear_cost(n_rows, d_in, d_out, bytes_per_number):
    return 2 * n_rows * d_in * d_out, bytes_per_number * (n_rows * d_in + d_in * d_out + n_rows * d_out)


def roofline(flops, n_bytes, peak, bandwidth):
    if n_bytes == 0 or flops * bandwidth >= peak * n_bytes:
        return flops / peak, "compute"
    return n_bytes / bandwidth, "memory"
