# Wrong: one step with local_steps times the rate
# Fails: two_rounds_by_hand, rounds_have_their_closed_form
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
    low, high = 0.0, 2.0
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
            own = own - rate * local_steps * gradient(worker, own)
            total = total + own
        weights.append(total / n_workers)
    return weights
