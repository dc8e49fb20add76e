# Right: torch's L-BFGS in 64 bits; Elo by differences of logarithms; weights by repeat
def bradley_terry(first, second, outcome, n_models, covariates=None, prior_std=1.0):
    if math.isnan(prior_std) or prior_std <= 0 or prior_std == math.inf:
        raise ValueError("prior_std")
    one_hot = F.one_hot(torch.as_tensor(first), n_models) - F.one_hot(torch.as_tensor(second), n_models)
    X = one_hot.double()
    if covariates is not None:
        X = torch.cat([X, torch.as_tensor(covariates, dtype=torch.float64)], dim=1)
    y = torch.as_tensor(outcome, dtype=torch.float64)
    w = torch.zeros(X.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=5000, max_eval=20000, tolerance_grad=1e-10, tolerance_change=1e-15, history_size=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(X @ w, y, reduction="sum") + (w**2).sum() / (2 * prior_std**2)
        loss.backward()
        return loss

    optimizer.step(closure)
    w = w.detach().numpy()
    return w[:n_models].copy(), w[n_models:].copy()


def elo(first, second, outcome, n_models, k=32.0):
    logs = np.zeros(n_models)  # in nats
    unit = 400 / math.log(10)
    for a, b, y in zip(first.tolist(), second.tolist(), outcome.tolist(), strict=True):
        surprise = y - 1 / (1 + math.exp(logs[b] - logs[a]))
        if a != b:
            logs[a] += k / unit * surprise
            logs[b] -= k / unit * surprise
    return 1500 + unit * logs


def position_flip_rate(one_way, other_way):
    judged = np.isfinite(one_way) & np.isfinite(other_way)
    if not judged.any():
        raise ValueError("no pair")
    # Points of A in the two orders
    shown_first, shown_second = one_way[judged], 1 - other_way[judged]
    to_first = (shown_first > shown_second).mean()
    to_second = (shown_first < shown_second).mean()
    return {"flip_rate": to_first + to_second, "to_first": to_first, "to_second": to_second}


def prompt_bootstrap(prompt, statistic, draws, level=0.95):
    order = np.argsort(prompt, kind="stable")
    numbers = []
    for row in draws:
        times = {name: int(np.sum(row == name)) for name in set(row.tolist())}
        numbers.append(statistic(np.repeat(order, [times.get(int(p), 0) for p in prompt[order]])))
    return tuple(np.quantile(np.array(numbers), [0.5 - level / 2, 0.5 + level / 2], axis=0))
