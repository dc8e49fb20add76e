# Right: all arrivals are listed and sorted first; a recursive local SGD that averages displacements
def parameter_server(gradient, x, rate, seconds, n_updates):
    arrivals = sorted((k * s, worker) for worker, s in enumerate(seconds) for k in range(1, n_updates + 1))
    version = {worker: 0 for worker in range(len(seconds))}
    weights, staleness = {0: x.clone()}, []
    for t, (_, worker) in enumerate(arrivals[:n_updates]):
        step = gradient(worker, weights[version[worker]]) * rate
        weights[t + 1] = weights[t] - step
        staleness.append(t - version[worker])
        version[worker] = t + 1
    return [weights[t] for t in range(n_updates + 1)], staleness


def stable_rate(hessian, staleness):
    values = np.linalg.eigvalsh(hessian.numpy())
    return min(2 * math.sin(math.pi / (4 * staleness + 2)) / value for value in values)


def alone(gradient, worker, x, rate, steps):
    return x if steps == 0 else alone(gradient, worker, x - rate * gradient(worker, x), rate, steps - 1)


def local_sgd(gradient, x, rate, n_workers, local_steps, rounds):
    if rounds == 0:
        return [x.clone()]
    before = local_sgd(gradient, x, rate, n_workers, local_steps, rounds - 1)
    start = before[-1]
    moves = torch.stack([alone(gradient, worker, start, rate, local_steps) - start for worker in range(n_workers)])
    return [*before, start + moves.mean(dim=0)]
