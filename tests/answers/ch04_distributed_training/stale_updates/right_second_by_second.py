# Right: a clock that ticks; gradients computed when weights are read; the bound from the angle of the root
def parameter_server(gradient, x, rate, seconds, n_updates):
    history, staleness = [x.detach().clone()], []
    computed = [gradient(worker, history[0]).clone() for worker in range(len(seconds))]
    read_at = [0 for _ in seconds]
    clock = 0
    while True:
        clock += 1
        for worker in range(len(seconds)):
            if clock % seconds[worker]:
                continue
            if len(staleness) >= n_updates:
                return history, staleness
            staleness.append(len(history) - 1 - read_at[worker])
            history.append(torch.sub(history[-1], computed[worker], alpha=rate))
            computed[worker] = gradient(worker, history[-1]).clone()
            read_at[worker] = len(history) - 1


def stable_rate(hessian, staleness):
    angle = math.pi / (2 * staleness + 1)
    return abs(1 - complex(math.cos(angle), math.sin(angle))) / float(torch.linalg.norm(hessian, ord=2))


def local_sgd(gradient, x, rate, n_workers, local_steps, rounds):
    common = [x.clone()]
    for _ in range(rounds):
        everyone = [common[-1]] * n_workers
        for _ in range(local_steps):
            everyone = [own - rate * gradient(worker, own) for worker, own in enumerate(everyone)]
        common.append(sum(everyone) / n_workers)
    return common
