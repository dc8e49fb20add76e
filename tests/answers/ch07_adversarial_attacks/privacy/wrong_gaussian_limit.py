# Wrong: the central limit (Gaussian differential privacy), an approximation that may lie below
# Fails: bounds_one_program, is_never_below_the_truth
def noise_scale(low: float, high: float, queries: int, epsilon: float, delta: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    sensitivity = max(abs(low), abs(high))
    if delta == 0:
        return queries * sensitivity / epsilon

    def excess(sigma):
        return math.exp(log_ndtr(0.5 / sigma - epsilon * sigma)) - math.exp(epsilon + log_ndtr(-0.5 / sigma - epsilon * sigma)) - delta

    return math.sqrt(queries) * sensitivity * brentq(excess, 1e-3, 1e5, xtol=1e-9)


def clipped_sum(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, clip: float) -> dict[str, torch.Tensor]:
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    if len(inputs) == 0:
        return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}

    def loss(parameters, x, y):
        return F.cross_entropy(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, inputs, targets)
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients.values()]).norm(dim=0)
    factors = (clip / norms).clamp(max=1)
    return {name: torch.einsum("n,n...->...", factors, gradient) for name, gradient in gradients.items()}


def dp_sgd_step(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    rate: float,
    clip: float,
    noise: float,
    learning_rate: float,
    generator: torch.Generator,
) -> None:
    batch = torch.rand(len(inputs), generator=generator) < rate
    sums = clipped_sum(model, inputs[batch], targets[batch], clip)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noisy = sums[name] + noise * clip * torch.randn(parameter.shape, generator=generator)
            parameter -= learning_rate * noisy / (rate * len(inputs))


def epsilon_upper_bound(noise: float, rate: float, steps: int, delta: float) -> float:
    from scipy.special import gammaln, logsumexp, xlog1py, xlogy

    if rate == 0 or steps == 0:
        return 0.0
    if noise == 0:
        return math.inf
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    mu = rate * math.sqrt(steps * math.expm1(min(1 / noise**2, 700)))
    if math.exp(log_ndtr(mu / 2)) - math.exp(log_ndtr(-mu / 2)) > delta:
        return brentq(lambda e: math.exp(log_ndtr(mu / 2 - e / mu)) - math.exp(e + log_ndtr(-mu / 2 - e / mu)) - delta, 0, 600)
    bounds = []
    for order in range(2, 65):
        k = np.arange(order + 1)
        binomials = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        terms = binomials + xlog1py(order - k, -rate) + xlogy(k, rate) + (k**2 - k) / (2 * noise**2)
        divergence = logsumexp(terms) / (order - 1)
        bounds.append(steps * divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    return float(max(0.0, min(bounds)))
