# Wrong: the small-angle form of the bound
# Fails: bounds_that_are_known, the_bound_is_where_roots_leave_the_circle
def parameter_server(gradient, x, rate, seconds, n_updates):
    n_workers = len(seconds)
    server = x.clone()
    copies = [server.clone() for _ in range(n_workers)]
    versions = [0] * n_workers
    due = list(seconds)
    weights, staleness = [server.clone()], []
    while len(staleness) < n_updates:
        worker = due.index(min(due))
        server = server - rate * gradient(worker, copies[worker])
        staleness.append(len(staleness) - versions[worker])
        weights.append(server.clone())
        copies[worker] = server.clone()
        versions[worker] = len(staleness)
        due[worker] += seconds[worker]
    return weights, staleness


def stable_rate(hessian, staleness):
    largest = torch.linalg.eigvalsh(hessian)[-1].item()
    return math.pi / largest / (2 * staleness + 1)
    for _ in range(60):
        middle = (low + high) / 2
        polynomial = np.zeros(staleness + 2)
        polynomial[0] += 1
        polynomial[1] -= 1
        polynomial[-1] += middle
        if np.abs(np.roots(polynomial)).max() < 1:
            low = middle
        else:
            high = middle
    return low / largest


def local_sgd(gradient, x, rate, n_workers, local_steps, rounds):
    weights = [x.clone()]
    for _ in range(rounds):
        total = torch.zeros_like(x)
        for worker in range(n_workers):
            own = weights[-1].clone()
            for _ in range(local_steps):
                own = own - rate * gradient(worker, own)
            total = total + own
        weights.append(total / n_workers)
    return weights
