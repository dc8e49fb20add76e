# Right: real orders, by integrating the divergence numerically; golden ratio of nothing but a grid of orders; vmap over samples with the norm of a flat row
def noise_scale(low, high, queries, epsilon, delta):
    from scipy.special import log_ndtr

    reach = max(abs(low), abs(high))
    if not delta:
        return float(queries * reach / epsilon)
    # In terms of mu = 1 / sigma, with Newton-free bisection on its logarithm.
    a, b = math.log(1e-7), math.log(1e4)
    while b - a > 1e-10:
        m = (a + b) / 2
        mu = math.exp(m)
        first, second = log_ndtr(mu / 2 - epsilon / mu), epsilon + log_ndtr(-mu / 2 - epsilon / mu)
        if first == -math.inf or first + math.log(-math.expm1(min(second - first, -1e-300))) <= math.log(delta):
            a = m
        else:
            b = m
    return reach * queries**0.5 / math.exp(a)


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


def epsilon_upper_bound(noise, rate, steps, delta):
    from scipy.special import logsumexp

    if rate == 0 or steps == 0:
        return 0.0
    if noise == 0:
        return math.inf
    x = np.arange(-15 * noise, 64 + 15 * noise, noise / 25)
    with np.errstate(divide="ignore"):
        ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + (2 * x - 1) / (2 * noise**2))
    base = -(x**2) / (2 * noise**2) - np.log(25 * np.sqrt(2 * np.pi))
    orders = np.concatenate([np.linspace(1.05, 8, 140), np.linspace(8, 64, 225)])
    bounds = [(steps * logsumexp(base + a * ratio) - np.log(delta * a)) / (a - 1) + np.log1p(-1 / a) for a in orders]
    return max(0.0, float(np.min(bounds)))
