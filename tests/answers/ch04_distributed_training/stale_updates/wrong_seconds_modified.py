# Wrong: the list of durations becomes the list of arrivals
# Fails: nothing_is_changed_in_place
def parameter_server(
    gradient: Gradient, x: torch.Tensor, rate: float, seconds: list[int], n_updates: int
) -> tuple[list[torch.Tensor], list[int]]:
    weights, staleness = [x.clone()], []
    read = [0] * len(seconds)
    durations = list(seconds)
    arrivals = seconds  # changed in place below
    for update in range(n_updates):
        worker = arrivals.index(min(arrivals))
        weights.append(weights[-1] - rate * gradient(worker, weights[read[worker]].clone()))
        staleness.append(update - read[worker])
        read[worker] = update + 1
        arrivals[worker] += durations[worker]
    return weights, staleness


def stable_rate(hessian: torch.Tensor, staleness: int) -> float:
    steepest = torch.linalg.eigvalsh(hessian).max().item()
    return 2 * math.sin(math.pi / (2 * (2 * staleness + 1))) / steepest


def local_sgd(
    gradient: Gradient, x: torch.Tensor, rate: float, n_workers: int, local_steps: int, rounds: int
) -> list[torch.Tensor]:
    weights = [x.clone()]
    for _ in range(rounds):
        ends = []
        for worker in range(n_workers):
            local = weights[-1].clone()
            for _ in range(local_steps):
                local = local - rate * gradient(worker, local)
            ends.append(local)
        weights.append(torch.stack(ends).mean(0))
    return weights
