# Right: scipy's trust region, games as sums of a loop; flips by cases; bootstrap by a loop over games
def bradley_terry(first, second, outcome, n_models, covariates=None, prior_std=1.0):
    from scipy.optimize import minimize

    if not (math.isfinite(prior_std) and prior_std > 0):
        raise ValueError("prior_std")
    k = 0 if covariates is None else covariates.shape[1]
    extra = np.zeros((len(first), 0)) if covariates is None else np.asarray(covariates)

    def unpack(w):
        return w[first] - w[second] + extra @ w[n_models:]

    def loss(w):
        z = unpack(w)
        return np.sum(np.logaddexp(0, z) - outcome * z) + np.dot(w, w) / prior_std**2 / 2

    def slope(w):
        difference = 1 / (1 + np.exp(-unpack(w))) - outcome
        gradient = w / prior_std**2
        np.add.at(gradient, first, difference)
        np.subtract.at(gradient, second, difference)
        gradient[n_models:] += extra.T @ difference
        return gradient

    w = minimize(loss, np.zeros(n_models + k), jac=slope, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-16, "maxiter": 10000, "maxcor": 30}).x
    return w[:n_models], w[n_models:]


def elo(first, second, outcome, n_models, k=32.0):
    ratings = np.full(n_models, 1500.0)
    for game in range(len(first)):
        a, b = first[game], second[game]
        if a == b:
            continue
        strong, weak = 10 ** (ratings[a] / 400), 10 ** (ratings[b] / 400)
        expected = strong / (strong + weak)
        ratings[a] += k * (outcome[game] - expected)
        ratings[b] += k * (expected - outcome[game])
    return ratings


def position_flip_rate(one_way, other_way):
    pairs = [(a, b) for a, b in zip(one_way, other_way, strict=True) if not (np.isnan(a) or np.isnan(b))]
    if not pairs:
        raise ValueError("nothing to compare")
    first = sum((a, b) in ((1, 1), (1, 0.5), (0.5, 1)) for a, b in pairs) / len(pairs)
    second = sum((a, b) in ((0, 0), (0, 0.5), (0.5, 0)) for a, b in pairs) / len(pairs)
    return {"to_first": first, "to_second": second, "flip_rate": first + second}


def prompt_bootstrap(prompt, statistic, draws, level=0.95):
    results = []
    for row in draws.tolist():
        games = [game for p in row for game in range(len(prompt)) if prompt[game] == p]
        results.append([float(number) for number in statistic(np.array(games))])
    columns = list(zip(*results, strict=True))
    low = [np.quantile(column, (1 - level) / 2) for column in columns]
    high = [np.quantile(column, 1 - (1 - level) / 2) for column in columns]
    return low, high
