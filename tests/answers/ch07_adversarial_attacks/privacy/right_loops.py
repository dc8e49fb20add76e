# Right: a loop over samples with autograd; bisection; whole numbers for the binomials
def noise_scale(low, high, queries, epsilon, delta):
    from scipy.stats import norm

    largest = max(-low, high)
    if delta == 0:
        return largest * queries / epsilon
    few, many = 1e-4, 1e6
    for _ in range(100):
        sigma = math.sqrt(few * many)
        lost = norm.sf(epsilon * sigma - 1 / (2 * sigma)) - math.exp(epsilon + norm.logsf(epsilon * sigma + 1 / (2 * sigma)))
        if lost > delta:
            few = sigma
        else:
            many = sigma
    return many * largest * queries**0.5


def clipped_sum(model, inputs, targets, clip):
    names, parameters = zip(*model.named_parameters())
    sums = [torch.zeros_like(p, requires_grad=False) for p in parameters]
    for i in range(len(inputs)):
        loss = F.cross_entropy(model(inputs[i : i + 1]), targets[i : i + 1])
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum(float(g.double().pow(2).sum()) for g in gradients) ** 0.5
        for total, g in zip(sums, gradients):
            total += g * (clip / norm if norm > clip else 1.0)
    return dict(zip(names, sums))


def dp_sgd_step(model, inputs, targets, rate, clip, noise, learning_rate, generator):
    chosen = [i for i in range(len(inputs)) if torch.rand((), generator=generator).item() < rate]
    chosen = torch.tensor(chosen, dtype=torch.long)
    total = clipped_sum(model, inputs[chosen], targets[chosen], clip)
    for name, p in model.named_parameters():
        z = torch.empty(p.shape).normal_(0, 1, generator=generator)
        p.data.sub_((total[name] + z * (noise * clip)) * (learning_rate / rate / len(inputs)))


def epsilon_upper_bound(noise, rate, steps, delta):
    if steps == 0 or rate == 0:
        return 0
    if not noise:
        return float("inf")
    best = float("inf")
    for a in range(2, 100):
        logs = []
        for k in range(a + 1):
            if (rate == 1 and k < a):
                continue
            log = math.log(math.comb(a, k)) + k * math.log(rate) + k * (k - 1) / 2 / noise**2
            logs.append(log + ((a - k) * math.log1p(-rate) if k < a else 0))
        top = max(logs)
        rho = (top + math.log(math.fsum(math.exp(l - top) for l in logs))) / (a - 1)
        best = min(best, steps * rho + math.log((a - 1) / a) - (math.log(delta) + math.log(a)) / (a - 1))
    return max(best, 0.0)
