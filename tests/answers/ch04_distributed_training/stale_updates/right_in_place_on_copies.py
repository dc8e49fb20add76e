# Right: in-place updates, on tensors of its own, with a class for the server
class Server:
    def __init__(self, x):
        self.x, self.version = x.clone(), 0

    def pull(self):
        return self.x.clone(), self.version

    def push(self, step):
        self.x -= step
        self.version += 1


def parameter_server(gradient, x, rate, seconds, n_updates):
    server = Server(x)
    pulled = [server.pull() for _ in seconds]
    queue = [(s, worker) for worker, s in enumerate(seconds)]
    weights, staleness = [x.clone()], []
    for _ in range(n_updates):
        queue.sort()
        now, worker = queue.pop(0)
        at, version = pulled[worker]
        staleness.append(server.version - version)
        server.push(rate * gradient(worker, at))
        weights.append(server.x.clone())
        pulled[worker] = server.pull()
        queue.append((now + seconds[worker], worker))
    return weights, staleness


def stable_rate(hessian, staleness):
    top = np.linalg.eigvals(hessian.numpy()).real.max()
    companion = lambda k: np.eye(staleness + 1, k=-1) + np.outer(np.eye(staleness + 1)[0], np.eye(staleness + 1)[0]) - k * np.outer(np.eye(staleness + 1)[0], np.eye(staleness + 1)[-1])
    low, high = 1e-9, 2.5
    while high - low > 1e-12:
        k = (low + high) / 2
        if max(abs(np.linalg.eigvals(companion(k)))) < 1:
            low = k
        else:
            high = k
    return float(low / top)


def local_sgd(gradient, x, rate, n_workers, local_steps, rounds):
    start = x.clone()
    found = [start.clone()]
    for _ in range(rounds):
        rows = torch.stack([start] * n_workers)
        for worker in range(n_workers):
            for _ in range(local_steps):
                rows[worker] -= rate * gradient(worker, rows[worker].clone())
        start = rows.mean(0)
        found.append(start)
    return found
