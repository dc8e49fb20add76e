# Right: an epsilon of 1e-6 in the factor; Jacobians of all losses by reverse mode; Bernoulli draws; torch for the logarithms
def noise_scale(low: float, high: float, queries: int, epsilon: float, delta: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    sensitivity = max(abs(low), abs(high))
    if delta == 0:
        return queries * sensitivity / epsilon

    def excess(sigma):
        return math.exp(log_ndtr(0.5 / sigma - epsilon * sigma)) - math.exp(epsilon + log_ndtr(-0.5 / sigma - epsilon * sigma)) - delta

    return math.sqrt(queries) * sensitivity * brentq(excess, 1e-3, 1e5, xtol=1e-9)


def clipped_sum(model, inputs, targets, clip):
    parameters = dict(model.named_parameters())
    if not len(inputs):
        return {name: torch.zeros(p.shape) for name, p in parameters.items()}
    detached = {name: p.detach() for name, p in parameters.items()}

    def losses(p):
        return F.cross_entropy(torch.func.functional_call(model, p, (inputs,)), targets, reduction="none")

    rows = torch.func.jacrev(losses)(detached)
    flat = torch.cat([row.reshape(len(inputs), -1) for row in rows.values()], 1)
    factor = (clip / (flat.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
    total = (factor * flat).sum(0)
    return {name: part.view(p.shape) for (name, p), part in zip(detached.items(), total.split([p.numel() for p in detached.values()]))}


def dp_sgd_step(model, inputs, targets, rate, clip, noise, learning_rate, generator):
    n = len(inputs)
    coins = torch.bernoulli(torch.full((n,), rate, dtype=torch.float64), generator=generator).bool()
    gradient = clipped_sum(model, inputs[coins], targets[coins], clip)
    expected = rate * n
    for name, parameter in model.named_parameters():
        drawn = torch.normal(0.0, 1.0, tuple(parameter.shape), generator=generator)
        with torch.no_grad():
            parameter.add_(gradient[name] + noise * clip * drawn, alpha=-learning_rate / expected)


def epsilon_upper_bound(noise, rate, steps, delta):
    if steps * rate == 0:
        return 0.0
    if noise == 0:
        return math.inf
    smallest = math.inf
    for order in range(2, 129):
        k = torch.arange(order + 1, dtype=torch.float64)
        a = torch.tensor(float(order), dtype=torch.float64)
        log_choose = torch.lgamma(a + 1) - torch.lgamma(k + 1) - torch.lgamma(a - k + 1)
        q = torch.tensor(float(rate), dtype=torch.float64)
        logs = log_choose + torch.xlogy(k, q) + torch.xlogy(a - k, 1 - q) + k * (k - 1) / (2 * noise**2)
        rho = torch.logsumexp(logs, 0).item() / (order - 1)
        smallest = min(smallest, steps * rho + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    return max(smallest, 0.0)
