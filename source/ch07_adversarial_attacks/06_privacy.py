# %% [markdown]
# ## 7.6 Differential privacy
#
# A hospital publishes the exact number of its patients with a disease on Monday, and again on Tuesday. Whoever knows the one patient who came in between now knows their diagnosis. **Predict:** would it help to publish only averages, or only a trained model?
#
# It would not: they are functions of the same data. What helps is noise, and a definition of how much is enough.
#
# ### The definition
#
# Two data sets are **neighbours** if one has exactly one person more than the other. A randomised program $M$ (a **mechanism**) is **$(\varepsilon, \delta)$-differentially private** if for all neighbours $D, D'$, in both directions, and for every set $S$ of results
#
# $$P(M(D) \in S) \;\le\; e^{\varepsilon}\, P(M(D') \in S) + \delta$$
#
# (Dwork and Roth, *The Algorithmic Foundations of Differential Privacy*, 2014). So whatever anybody computes from the result, with any other knowledge, is almost as likely without you. It does **not** say that nothing is learnt about you: a study shows that smoking causes cancer, with or without your data. And it is about one *unit*, here a person: if one letter is the unit, a patient with $k$ letters is protected with $k \varepsilon$ and a larger $\delta$ only.
#
# ### Two mechanisms
#
# The **sensitivity** $\Delta$ of a function is how far one person can move its value. A sum of numbers that are first clipped into $[a, b]$ moves by at most $\Delta = \max(|a|, |b|)$.
#
# * **Laplace**: noise of density $e^{-|z| / s} / (2 s)$ with $s = \Delta / \varepsilon$ is $(\varepsilon, 0)$-private. For several answers, $\Delta$ is the sum of the absolute changes of all.
# * **Gaussian**: normal noise of standard deviation $\sigma$ is $(\varepsilon, \delta)$-private if and only if (Balle and Wang, arXiv:1805.06083; $\Phi$ as in 7.3)
#
# $$\Phi\!\Big(\frac{\Delta}{2\sigma} - \frac{\varepsilon \sigma}{\Delta}\Big) - e^{\varepsilon}\, \Phi\!\Big(-\frac{\Delta}{2\sigma} - \frac{\varepsilon \sigma}{\Delta}\Big) \le \delta .$$
#
# For several answers, $\Delta$ is the *Euclidean* norm of the changes, so $k$ answers need only $\sqrt k$ times the noise, where Laplace needs $k$ times.
#
# The well-known $\sigma = \sqrt{2 \ln(1.25/\delta)}\, \Delta/\varepsilon$ was proved for $\varepsilon < 1$. **Predict:** what is wrong with it at $\varepsilon = 10$?

# %% tags=["demo"]
def draw_mechanisms(target=1e-5):
    from scipy.special import log_ndtr

    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.1))
    answers = np.linspace(-6, 7, 500)
    for count, color in ((0, "C0"), (1, "C1")):
        left.plot(answers, np.exp(-np.abs(answers - count)) / 2, color=color, label=f"Laplace, {count} with the disease")
        left.plot(answers, np.exp(-((answers - count) ** 2) / 2) / math.sqrt(2 * math.pi), "--", color=color, lw=1, label=f"Gaussian, {count} with the disease")
    left.set(yscale="log", ylim=(1e-6, 8), xlabel="published number", ylabel="density", title="Neighbours: scale 1, standard deviation 1")
    left.legend(fontsize=7.5, ncols=2, loc="upper center")

    epsilons = np.geomspace(0.2, 20, 100)
    sigmas = math.sqrt(2 * math.log(1.25 / target)) / epsilons
    true = np.exp(log_ndtr(0.5 / sigmas - epsilons * sigmas)) - np.exp(epsilons + log_ndtr(-0.5 / sigmas - epsilons * sigmas))
    right.plot(epsilons, true, color="C3", label="true δ of the well-known formula")
    right.axhline(target, color="0.4", ls=":", label="δ that was asked for")
    right.set(xscale="log", yscale="log", xlabel="ε that was asked for", ylabel="δ", title="σ = √(2 ln(1.25/δ)) Δ/ε")
    right.legend(fontsize=8, loc="lower right")
    plt.show()


draw_mechanisms()

# %% [markdown]
# Left: the Laplace densities never differ by more than a factor of $e$ ($\varepsilon = 1$). The ratio of the Gaussian ones has no limit; $\delta$ pays for that. Right: up to $\varepsilon = 8.4$ the formula adds more noise than necessary, and at 10 its true $\delta$ is 2.3e-5, more than twice what it promises.
#
# ### DP-SGD
#
# A training step is private if its gradient is (Abadi et al., arXiv:1607.00133):
#
# 1. Every sample is in the batch with probability $q$, independently: a **Poisson** batch. It may be empty.
# 2. The gradient $g_i$ of **each sample**, over all parameters together, is clipped to the norm $C$: $\;\bar g_i = g_i \cdot \min(1, C / \|g_i\|)$. So the sum has the sensitivity $C$.
# 3. Noise is added to the sum: $\tilde g = \frac{1}{q n} \big( \sum_i \bar g_i + \mathcal N(0, \sigma^2 C^2 I) \big)$, divided by the *expected* batch size; the true one depends on who is there ($n$ is taken to be public).
#
# ### What 100 steps cost
#
# Who is seldom in the batch is better protected (**amplification**). The **Rényi divergence** of order $\alpha$ measures how much the results of neighbours differ, and adds up over steps (Mironov, arXiv:1702.07476). For one step with a Poisson batch and a whole $\alpha \ge 2$ it is (Mironov, Talwar and Zhang, arXiv:1908.10530)
#
# $$\rho(\alpha) = \frac{1}{\alpha - 1} \ln \sum_{k=0}^{\alpha} \binom{\alpha}{k} (1 - q)^{\alpha - k} q^k\, e^{(k^2 - k) / (2 \sigma^2)},$$
#
# and $T$ steps are $(\varepsilon, \delta)$-private with (Canonne, Kamath and Steinke, arXiv:2004.00010)
#
# $$\varepsilon = T \rho(\alpha) + \ln \frac{\alpha - 1}{\alpha} - \frac{\ln \delta + \ln \alpha}{\alpha - 1}, \qquad \text{for every } \alpha. \text{ Take the smallest.}$$
#
# For $\sigma = 1$, $q = 0.107$, $T = 100$, $\delta = 10^{-5}$ this upper bound is 8.47. A number *below* the exact value, 7.55, would be a broken promise.

# %% [markdown]
# ### Exercise 7.6 · Differential privacy
#
# > **Difficulty** ★★★☆ · **65 minutes** · **12 points** · NumPy, PyTorch
#
# **Write** four functions. Only `dp_sgd_step` modifies an argument.
#
# <details><summary>Hint 1: the smallest σ</summary>
#
# Solve for $\Delta = 1$ and multiply. The left side falls as $\sigma$ grows, so `scipy.optimize.brentq` finds it. $e^\varepsilon \Phi(\cdot)$ may be a huge number times a tiny one: add logarithms (`scipy.special.log_ndtr`).
# </details>
#
# <details><summary>Hint 2: a gradient for each sample</summary>
#
# Write the loss as a function of parameters, one input and one target, with `torch.func.functional_call(model, parameters, (x[None],))`. Then `torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))` returns a dictionary of gradients, one row for each sample.
# </details>
#
# <details><summary>Hint 3: what is random in a step</summary>
#
# `torch.rand(n, generator=generator) < rate` is a Poisson batch. When it is empty, no update at all would show that.
# </details>
#
# <details><summary>Hint 4: large orders</summary>
#
# $e^{(k^2-k)/(2\sigma^2)}$ overflows. Compute logarithms of the terms (`scipy.special.gammaln`, `xlogy`, `xlog1py`), then `logsumexp`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "privacy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def noise_scale(low: float, high: float, queries: int, epsilon: float, delta: float) -> float:
    """How much noise makes the answers to several queries (epsilon, delta)-private, all together.

    Each query is a sum over the people of numbers that were clipped into [low, high]. Every answer
    gets independent noise of the same scale. A person's number in
    each query may be any in the interval, whatever it is in the others.

    Args:
        low, high: low <= high, of any sign; not both 0.
        queries: how many, 1 or more.
        epsilon: from 0.01 to 50.
        delta: 0, or from 1e-12 to 0.1.

    Returns:
        If delta is 0, the smallest scale of Laplace noise for which the guarantee holds; else the smallest
        standard deviation of normal noise, with a relative error of at most 1e-4.

    >>> noise_scale(0.0, 1.0, 1, epsilon=0.5, delta=0.0)
    2.0
    """
    ### BEGIN SOLUTION
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    sensitivity = max(abs(low), abs(high))
    if delta == 0:
        return queries * sensitivity / epsilon

    def excess(sigma):
        return math.exp(log_ndtr(0.5 / sigma - epsilon * sigma)) - math.exp(epsilon + log_ndtr(-0.5 / sigma - epsilon * sigma)) - delta

    return math.sqrt(queries) * sensitivity * brentq(excess, 1e-3, 1e5, xtol=1e-9)
    ### END SOLUTION


def clipped_sum(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, clip: float) -> dict[str, torch.Tensor]:
    """The sum over the samples of their clipped gradients.

    A sample's gradient is that of its cross-entropy, with respect to all parameters. Its
    norm is taken over all parameters together. Where that is above `clip`, the gradient is
    multiplied by clip / norm; else it stays as it is, also if it is 0.

    Args:
        model: returns logits (n, classes) for inputs (n, ...); each row depends on its sample only.
            It runs in its present mode, in which nothing is random (no dropout). All its parameters require
            gradients. Parameters, their `.grad` and the mode stay as they are.
        inputs: (n, ...); n may be 0.
        targets: (n,), whole numbers.
        clip: greater than 0.

    Returns:
        For each name of `model.named_parameters()` a tensor of that parameter's shape, without a graph.

    >>> clipped_sum(nn.Linear(3, 2), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 1.0)["bias"]
    tensor([0., 0.])
    """
    ### BEGIN SOLUTION
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    if len(inputs) == 0:
        return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}

    def loss(parameters, x, y):
        return F.cross_entropy(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, inputs, targets)
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients.values()]).norm(dim=0)
    factors = (clip / norms).clamp(max=1)
    return {name: torch.einsum("n,n...->...", factors, gradient) for name, gradient in gradients.items()}
    ### END SOLUTION


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
    """One step of DP-SGD, in place.

    The batch is a Poisson one: each of the n samples is in it with probability `rate`, independently
    of everything else. To the sum of its clipped gradients, normal noise of standard deviation
    noise * clip is added, independent for every number of every parameter, in every step, also if the batch is
    empty. Divided by rate * n and multiplied by the learning rate, that is subtracted from the parameters.

    Args:
        model: as in `clipped_sum`. Its parameters change; their `.grad` stays as it is.
        inputs, targets: (n, ...) and (n,), the whole training data; n is at least 1.
        rate: greater than 0, up to 1.
        noise: 0 or more.
        generator: all that is random is drawn from it, and nothing from torch's global one. From the
            same state, the same step follows.

    >>> dp_sgd_step(model, images, digits, rate=0.1, clip=1.0, noise=2.0, learning_rate=0.5, generator=torch.Generator().manual_seed(0))
    """
    ### BEGIN SOLUTION
    batch = torch.rand(len(inputs), generator=generator) < rate
    sums = clipped_sum(model, inputs[batch], targets[batch], clip)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noisy = sums[name] + noise * clip * torch.randn(parameter.shape, generator=generator)
            parameter.sub_(learning_rate * noisy / (rate * len(inputs)))
    ### END SOLUTION


def epsilon_upper_bound(noise: float, rate: float, steps: int, delta: float) -> float:
    """An epsilon for which DP-SGD with Poisson batches is (epsilon, delta)-private, all steps together.

    Args:
        noise: its standard deviation, divided by `clip`; 0, or 0.3 or more.
        rate: the probability of a sample to be in a batch, from 0 to 1.
        steps: 0 or more.
        delta: from 1e-12 to 0.1.

    Returns:
        0 if nothing is trained on (no steps, or rate 0); otherwise infinity without noise. Else, let b be
        the smallest bound of the text over the orders 2, 3, ..., 64, or 0 if that is negative. Any number
        from the exact epsilon to 1.01 b is accepted.

    >>> 7.55 < epsilon_upper_bound(noise=1.0, rate=0.107, steps=100, delta=1e-5) < 8.56
    True
    """
    ### BEGIN SOLUTION
    from scipy.special import gammaln, logsumexp, xlog1py, xlogy

    if rate == 0 or steps == 0:
        return 0.0
    if noise == 0:
        return math.inf
    bounds = []
    for order in range(2, 65):
        k = np.arange(order + 1)
        binomials = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        terms = binomials + xlog1py(order - k, -rate) + xlogy(k, rate) + (k**2 - k) / (2 * noise**2)
        divergence = logsumexp(terms) / (order - 1)
        bounds.append(steps * divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    return float(max(0.0, min(bounds)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_privacy", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=0.75, hint="One person brings their whole number: the larger of |low| and |high|. For Laplace noise the changes of all queries add up; for normal noise take the root of the sum of squares.")
def scales_by_hand():
    """By hand: Laplace noise for one query and for four; normal noise for four queries is twice that for one."""
    for case, truth in (((0, 1, 1, 0.5, 0), 2), ((-3, 2, 4, 2, 0), 6)):
        found = noise_scale(*case)
        assert abs(found - truth) < 1e-9, f"noise_scale{case} is {found:.5g} instead of {truth}"
    found = noise_scale(0, 1, 1, 1, 1e-5)
    assert abs(found - 3.7306) < 5e-4, f"noise_scale(0, 1, 1, 1, 1e-5) is {found:.5g} instead of 3.7306"
    found = noise_scale(0, 1, 4, 1, 1e-5)
    assert abs(found - 7.4613) < 1e-3, f"noise_scale(0, 1, 4, 1, 1e-5) is {found:.5g} instead of 7.4613"


@check(points=0.75, hint="Each sample's gradient has a norm of its own, over weight and bias together. The first sample's is √5, and is halved; the second's is below the clip.")
def clips_by_hand():
    """For a layer of zeros, two samples and clip √5 / 2, the sum is the one that you get by hand."""
    def run():
        layer = nn.Linear(1, 2)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        return {name: value.detach() for name, value in clipped_sum(layer, torch.tensor([[3.0], [0.0]]), torch.tensor([0, 1]), math.sqrt(5) / 2).items()}

    found = probe(run)
    for name, truth in (("weight", [[-0.75], [0.75]]), ("bias", [0.25, -0.25])):
        assert name in found, f'"{name}" is missing'
        assert found[name].shape == torch.tensor(truth).shape, f'"{name}" has the shape {tuple(found[name].shape)}'
        assert torch.allclose(found[name], torch.tensor(truth), atol=1e-5), f'"{name}" is {found[name].tolist()} instead of {truth}'


@check(points=0.75, hint="With rate 1 everybody is in the batch. Without noise, the parameters move by -learning_rate / n times the sum of clipped gradients.")
def steps_by_hand():
    """With rate 1 and no noise, a step is the one that you get by hand."""
    def run():
        layer = nn.Linear(1, 2)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        dp_sgd_step(layer, torch.tensor([[3.0], [0.0]]), torch.tensor([0, 1]), 1.0, math.sqrt(5) / 2, 0.0, 4.0, torch.Generator().manual_seed(1))
        return layer.weight.detach(), layer.bias.detach()

    for name, found, truth in zip(("weight", "bias"), probe(run), ([[1.5], [-1.5]], [-0.5, 0.5]), strict=True):
        assert torch.allclose(found, torch.tensor(truth), atol=1e-5), f"{name} is {found.tolist()} instead of {truth}"


@check(points=0.75, hint="Sum over k for each order, times the steps, converted with ln((α-1)/α) and ln δ + ln α; the smallest over the orders.")
def bounds_one_program():
    """For noise 1, rate 0.107, 100 steps and delta 1e-5, epsilon is not below the exact 7.55, and not above 8.56."""
    found = epsilon_upper_bound(1.0, 0.107, 100, 1e-5)
    assert found > 7.55, f"{found:.4g} is less than the exact value, so the promise would be broken"
    assert found < 8.56, f"{found:.4g} is more than needed"


### BEGIN HIDDEN TESTS
import functools

from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp, ndtr


def scales(cases):
    return probe(lambda cases: [float(noise_scale(*case)) for case in cases], cases)


@check(points=0.5, hint="Sensitivity is max(|low|, |high|), whatever the signs, also where 0 isn't in the interval; k queries change by up to k times that in all.")
def laplace_for_any_interval():
    """The scale of Laplace noise is right for intervals of any sign, and for several queries."""
    cases = [(2.0, 5.0, 1, 0.1, 0), (-1.0, 3.0, 2, 1.0, 0), (-4, -1, 3, 2.0, 0.0), (-0.5, 0.25, 7, 50.0, 0.0), (-1, 1, 1, 1, 0), (0.0, 1e6, 2, 0.01, 0.0)]
    for (low, high, queries, epsilon, _), found in zip(cases, scales(cases), strict=True):
        corners = [abs(low), abs(high)]
        if not abs(found / (queries * sorted(corners)[1] / epsilon) - 1) < 1e-6:
            fail(f"Wrong for [{low:g}, {high:g}] and {queries} queries.")


def integrated_delta(distance, epsilon):
    """The smallest delta of normal noise with standard deviation 1 and neighbours `distance` apart, by integration."""
    # The density with the person is more than e^epsilon times the other one to the right of `edge`.
    edge = epsilon / distance + distance / 2
    weight = math.sqrt(2 * math.pi)

    def excess(x):
        return math.exp(-((x - distance) ** 2) / 2) * -math.expm1(-distance * (x - edge)) / weight

    middle = max(edge, distance) + 1
    return sum(quad(excess, start, end, epsabs=0, epsrel=1e-9, limit=200)[0] for start, end in ((edge, middle), (middle, middle + 4), (middle + 4, middle + 12)))


@check(points=1, hint="√(2 ln(1.25/δ))/ε is not the smallest, and for large ε not private at all. Solve the inequality of the text, with logarithms where e^ε is large.")
def normal_noise_is_the_smallest():
    """Normal noise keeps its promise, and a little less would not, from epsilon 0.01 to 50, for several queries, too."""
    cases = [(0.0, 1.0, 1, 0.01, 1e-12), (-2, 1, 3, 0.3, 1e-5), (0.0, 1.0, 1, 3.0, 1e-9), (2.0, 5.0, 2, 10.0, 1e-5), (-1, 0.5, 25, 50.0, 1e-6), (0, 300, 1, 20.0, 0.1), (0.0, 1.0, 2, 0.1, 0.1), (-1e-3, 0.0, 4, 50.0, 1e-12)]
    for (low, high, queries, epsilon, delta), found in zip(cases, scales(cases), strict=True):
        if not 0 < found < math.inf:
            fail(f"No positive number for epsilon {epsilon:g} and delta {delta:g}.")
        distance = math.hypot(*[max(low, high, -low, -high)] * queries) / found
        if distance > 100 or integrated_delta(distance / 1.00012, epsilon) > delta:
            fail(f"Too little noise for epsilon {epsilon:g}, delta {delta:g} and {queries} queries.")
        if integrated_delta(distance * 1.00012, epsilon) < delta:
            fail(f"More noise than necessary for epsilon {epsilon:g}, delta {delta:g} and {queries} queries.")


def small_network(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return network


@check(points=1, hint="One norm for a sample, over all parameters together; multiply by min(1, clip / norm), and add up. Not layer by layer, not the batch's gradient, and nothing is made larger.")
def clips_each_sample():
    """The sum agrees with a loop over samples in which autograd computes each gradient, whatever the clip."""
    # Not statistics: the answer is determined. In 400 draws, a right answer's error was at most 0.1 of the tolerance (0.01 without 1e-6 added to the norm).
    inputs, targets = torch.randn(9, 2, 3), torch.randint(0, 4, (9,))
    inputs[4:] *= torch.tensor([0.01, 0.1, 3.0, 10.0, 1.0])[:, None, None]
    seed = int(torch.randint(0, 2**31, ()))
    clips = [0.05, 0.6, 1.5, 4.0, 1e4]

    def run(inputs, targets, clips, seed):
        network = small_network(seed)
        return [({name: value.detach() for name, value in clipped_sum(network, inputs, targets, clip).items()}) for clip in clips]

    network = small_network(seed).double()
    rows = []
    for x, y in zip(inputs.double(), targets, strict=True):
        logits = network(x[None])[0]
        rows.append(torch.autograd.grad(-torch.log(torch.softmax(logits, 0)[y]), list(network.parameters())))
    for clip, found in zip(clips, probe(run, inputs, targets, clips, seed), strict=True):
        norms = [math.sqrt(sum(float((part**2).sum()) for part in row)) for row in rows]
        for i, (name, parameter) in enumerate(network.named_parameters()):
            truth = sum(row[i] * (clip / norm if norm > clip else 1.0) for row, norm in zip(rows, norms, strict=True))
            if name not in found or found[name].shape != parameter.shape:
                fail(f"{name} is missing, or has not the parameter's shape.")
            if not torch.allclose(found[name].double(), truth, rtol=1e-3, atol=1e-4 * min(clip, 10)):
                fail(f"{name} is wrong where {sum(norm > clip for norm in norms)} of 9 samples are clipped.")


@check(points=0.5, hint="An empty batch has the sum 0. A gradient of exactly 0 has the norm 0: do not divide 0 by 0.")
def clips_at_the_edges():
    """No samples give zeros; a sample with the gradient 0 adds nothing; a single sample works."""
    def run():
        layer = nn.Linear(2, 3)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([500.0, 0.0, 0.0]))
        cases = [(torch.zeros(0, 2), []), (torch.ones(3, 2), [0, 0, 0]), (torch.ones(2, 2), [0, 1]), (torch.ones(1, 2), [1])]
        return [{name: value.detach() for name, value in clipped_sum(layer, x, torch.tensor(y, dtype=torch.long), 0.5).items()} for x, y in cases]

    unit = 0.5 / math.sqrt(6)  # the sample of class 1 has the gradient (1, -1, 0) in each of weight's two columns and in bias
    for samples, found, size in zip((0, 3, 2, 1), probe(run), (0, 0, unit, unit), strict=True):
        for name, shape in (("weight", (3, 2)), ("bias", (3,))):
            truth = torch.tensor([size, -size, 0.0]).reshape(3, *[1] * (len(shape) - 1)).expand(shape)
            if name not in found or found[name].shape != shape:
                fail(f"{name} is missing for {samples} samples, or has not the parameter's shape.")
            if not torch.allclose(found[name], truth, atol=1e-4):
                fail(f"{name} is wrong for {samples} samples{', one or more with the gradient 0' if samples in (2, 3) else ''}.")


@check(points=0.5, hint="torch.func, and torch.autograd.grad, leave .grad alone; detach the result.")
def leaves_the_model_alone():
    """clipped_sum changes no parameter, no .grad and no mode, and its result carries no graph; a step changes no .grad either."""
    def run():
        reports = []
        for training in (True, False):
            network = small_network(3).train(training)
            weights = [parameter.detach().clone() for parameter in network.parameters()]
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
            x, y = torch.ones(4, 6), torch.tensor([0, 1, 2, 3])
            found = clipped_sum(network, x, y, 0.1)
            state = [
                all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True)),
                not any(value.requires_grad for value in found.values()),
                all(parameter.requires_grad for parameter in network.parameters()) and network.training == training,
            ]
            dp_sgd_step(network, x, y, 0.5, 0.1, 1.0, 0.1, torch.Generator().manual_seed(0))
            state.append(all(parameter.grad is not None and bool((parameter.grad == 1).all()) for parameter in network.parameters()))
            state.append(all(parameter.requires_grad and parameter.is_leaf for parameter in network.parameters()) and network.training == training)
            state.append(bool((x == 1).all()) and y.tolist() == [0, 1, 2, 3])
            reports.append(state)
        return reports

    words = ("clipped_sum changed a parameter", "the result carries a graph", "clipped_sum changed requires_grad or the mode", "a .grad was changed", "a step changed requires_grad or the mode", "inputs or targets were modified")
    for state in probe(run):
        for good, text in zip(state, words, strict=True):
            if not good:
                fail(f"This is not as it should be: {text}.")


@functools.cache
def batches():
    """Who was in the batch of each of 30 steps, in units of the expected contribution: (30, 200)."""
    def run(seed):
        layer, generator, found = nn.Linear(200, 2, bias=False), torch.Generator().manual_seed(seed), []
        for _ in range(30):
            nn.init.zeros_(layer.weight)
            # Person i has a pixel of their own, so that their gradient changes only column i.
            dp_sgd_step(layer, torch.eye(200), torch.zeros(200, dtype=torch.long), 0.3, 0.1, 0.0, 3.0, generator)
            found.append(layer.weight[0].detach().clone())
        return torch.stack(found)

    return probe(run, int(torch.randint(0, 2**31, ()))) / (3.0 * 0.1 * math.sqrt(0.5) / (0.3 * 200))


@check(points=0.75, hint="Divide by rate * n, whatever the size of the batch: the true size depends on who is in it.")
def divides_by_the_expected_size():
    """Whoever is in the batch contributes learning_rate * clip / (rate * n), in small batches and in large ones."""
    found = batches()
    if not bool(((found.abs() < 1e-3) | ((found - 1).abs() < 1e-3)).all()):
        fail("A contribution is neither 0 nor that of one clipped gradient divided by the expected batch size.")


@check(points=1, hint="Every sample has its own coin: torch.rand(n) < rate. Batches of a fixed size, or from a shuffled list, are not Poisson batches, and the bound does not hold for them.")
def batches_are_poisson():
    """Over 30 steps, samples are in the batch with the right probability, independently; its size varies as it should."""
    inside = batches() > 1e-6
    # False alarms, computed exactly for independent coins: 1.9e-8 for the total, 1.1e-8 for the sizes, 8e-9 for the counts; 4e-8 in all.
    total, sizes, counts = int(inside.sum()), inside.sum(1).double(), inside.sum(0).double()
    if not stats.binom.ppf(1e-8, 6000, 0.3) <= total <= stats.binom.isf(1e-8, 6000, 0.3):
        fail("The batches are too large or too small on average.")
    if not stats.chi2.ppf(1e-8, 30) < float(((sizes - 60) ** 2).sum()) / 42 < stats.chi2.isf(1e-9, 30):
        fail("The sizes of the batches do not vary as those of independent coins do.")
    if not stats.chi2.ppf(1e-8, 200) < float(((counts - 9) ** 2).sum()) / 6.3 < stats.chi2.isf(1e-9, 200):
        fail("Some samples are taken too often, or all of them equally often: steps are not independent.")


@check(points=1, hint="noise * clip is the standard deviation on the sum, before it is divided. New numbers for each parameter and each step, also if the batch is empty.")
def noise_has_its_size():
    """The noise is normal with standard deviation noise * clip on the sum, with all samples and with none, and new for each parameter and step."""
    def run(seed, rate):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(50, 50, bias=False), nn.Linear(50, 50, bias=False))
        x, y, start = torch.randn(10, 50), torch.randint(0, 50, (10,)), [parameter.detach().clone() for parameter in network.parameters()]
        generator, found = torch.Generator().manual_seed(seed), []
        for noise in (1.5, 1.5, 0.0):
            with torch.no_grad():
                for parameter, value in zip(network.parameters(), start, strict=True):
                    parameter.copy_(value)
            dp_sgd_step(network, x, y, rate, 2.0, noise, 100 * rate, generator)
            found.append(torch.stack([parameter.detach().flatten() - value.flatten() for parameter, value in zip(network.parameters(), start, strict=True)]))
        return torch.stack(found)

    # False alarms, both rates together: 8 sums of squares with 2e-8 each, 12 correlations with 2e-9 each (0.12 is six standard deviations,
    # of 1 / 50), 2 tests of the shape with 1e-8 each: 2.1e-7. With rate 1e-10, all ten stay out, but for one step in a million (float32's
    # smallest draw is 0); even then one clipped gradient adds less than half a unit to a sum of squares of 2,500, give or take 71.
    for rate in (1.0, 1e-10):
        moved = probe(run, int(torch.randint(0, 2**31, ())), rate).double()
        if not bool(torch.isfinite(moved).all()):
            fail("The parameters are not finite after a step with an empty batch." if rate < 1 else "The parameters are not finite.")
        noise = ((moved[:2] - moved[2]) / (100 * 1.5 * 2.0 / 10)).reshape(4, -1).numpy()
        words = "an empty batch" if rate < 1 else "everybody in the batch"
        for part in noise:
            if not stats.chi2.ppf(1e-8, 2500) < (part**2).sum() < stats.chi2.isf(1e-8, 2500):
                fail(f"The noise has the wrong standard deviation with {words}: {math.sqrt((part**2).mean()):.3g} times the right one.")
        if np.abs(np.corrcoef(noise) - np.eye(4)).max() > 0.12:
            fail("Two parameters, or two steps, have the same noise.")
        if stats.kstest(noise.ravel(), "norm").pvalue < 1e-8:  # uniform noise of the same variance: below 1e-20
            fail(f"The noise is not normal with {words}.")


@check(points=0.5, hint="Give `generator=generator` to each call that draws, and do not seed anything yourself.")
def draws_from_the_generator():
    """The same state of the generator gives the same step, another one another step, and torch's global generator is not used."""
    def run():
        before, found = torch.random.get_rng_state(), []
        for seed in (5, 5, 6):
            layer = nn.utils.skip_init(nn.Linear, 4, 3)
            with torch.no_grad():
                layer.weight.fill_(0.5)
                layer.bias.fill_(0.0)
            dp_sgd_step(layer, torch.eye(4), torch.tensor([0, 1, 2, 0]), 0.5, 1.0, 1.0, 1.0, torch.Generator().manual_seed(seed))
            found.append(layer.weight.detach().clone())
        return torch.stack(found), torch.equal(before, torch.random.get_rng_state())

    found, untouched = probe(run)
    if not torch.equal(found[0], found[1]) or torch.allclose(found[0], found[2]):
        fail("The generator does not decide on the step.")
    if not untouched:
        fail("torch's global generator was used or seeded.")


PROGRAMS = [(1.0, 0.107, 100, 1e-5), (2.0, 0.1, 50, 1e-5), (0.5, 0.05, 20, 1e-5), (5.0, 1.0, 30, 1e-5), (1, 0.5, 1, 1e-3), (0.8, 0.3, 10, 0.01), (4.0, 0.02, 300, 1e-4), (1.0, 0.01, 1000, 1e-6), (0.3, 1, 1, 1e-8), (0.5, 1.0, 3, 0.01), (50.0, 0.01, 1, 1e-5)]


def exact_epsilon(noise, rate, steps, delta, reach=40.0, points=2**16):
    """Epsilon of one pair of neighbours, so at most the exact one: the distribution of the privacy loss on a grid, added up over the steps by Fourier transforms."""
    if rate == 1:  # the sum of `steps` normal numbers, with the neighbours steps apart
        distance, low, high = math.sqrt(steps) / noise, 0.0, 60.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if integrated_delta(distance, middle) > delta else (low, middle)
        return low
    width = 2 * reach / points
    losses = (np.arange(points) - points // 2) * width
    edges = np.append(losses - width / 2, losses[-1] + width / 2)
    with np.errstate(all="ignore"):
        outputs = noise**2 * np.log((np.exp(edges) - 1 + rate) / rate) + 0.5
    outputs = np.where(np.isnan(outputs), -np.inf, outputs)  # no output has a loss below ln(1 - rate)
    masses = np.diff((1 - rate) * ndtr(outputs / noise) + rate * ndtr((outputs - 1) / noise))
    masses = np.fft.fftshift(np.fft.irfft(np.fft.rfft(np.fft.ifftshift(masses)) ** steps, points))
    low, high = 0.0, reach
    for _ in range(40):
        middle = (low + high) / 2
        above = losses > middle
        low, high = (middle, high) if (masses[above] * -np.expm1(middle - losses[above])).sum() > delta else (low, middle)
    return low


@functools.cache
def bounds():
    return probe(lambda cases: [float(epsilon_upper_bound(*case)) for case in cases], PROGRAMS)


@check(points=1, hint="Steps add up in the Rényi divergence; multiplying epsilon by the rate, or by √steps, is no bound. See that no logarithm and no 1/(α-1) is lost.")
def is_never_below_the_truth():
    """Epsilon is not below the exact value, which is found by integrating the privacy loss."""
    for (noise, rate, steps, delta), found in zip(PROGRAMS, bounds(), strict=True):
        # A grid eight times as fine changes the exact value by less than 0.3 % here; the text's bound is at least 5 % above it.
        if not found >= exact_epsilon(noise, rate, steps, delta) * 0.99:
            fail(f"Below the exact value for noise {noise:g}, rate {rate:g}, {steps} steps and delta {delta:g}: the promise would be broken.")


@check(points=1, hint="Use the rate (amplification), all orders from 2 to 64, and the conversion of the text; logarithms, so that nothing overflows.")
def is_not_far_above():
    """Epsilon is at most 1 % above the best whole order's bound, also with little noise."""
    for (noise, rate, steps, delta), found in zip(PROGRAMS, bounds(), strict=True):
        outputs = np.arange(-12 * noise, 64 + 12 * noise, noise / 20)
        ratio = np.logaddexp(math.log1p(-rate) if rate < 1 else -np.inf, math.log(rate) + (2 * outputs - 1) / (2 * noise**2))
        density = -(outputs**2) / (2 * noise**2) - math.log(20 * math.sqrt(2 * math.pi))
        best = min((steps * logsumexp(density + order * ratio) - math.log(delta)) / (order - 1) + math.log(1 - 1 / order) - math.log(order) / (order - 1) for order in range(2, 65))
        if not found <= 1.01 * best:
            fail(f"Far above the bound of the text for noise {noise:g}, rate {rate:g}, {steps} steps and delta {delta:g}.")


@check(points=0.25, hint="No steps, or rate 0: 0. Else, no noise: infinity. A bound below zero means 0.")
def bounds_at_the_edges():
    """Without steps or with rate 0, epsilon is 0; otherwise it is infinite without noise; it is never negative."""
    cases = [(1.0, 0.5, 0, 1e-5), (1.0, 0.0, 10, 1e-5), (0.0, 0.0, 10, 1e-5), (0.0, 0.5, 0, 1e-5), (0, 0.1, 3, 1e-5), (0.0, 1.0, 1, 0.1), (50.0, 0.01, 1, 0.1)]
    found = probe(lambda cases: [float(epsilon_upper_bound(*case)) for case in cases], cases)
    for case, answer, truth in zip(cases, found, (0, 0, 0, 0, math.inf, math.inf, 0), strict=True):
        if answer != truth:
            fail(f"Wrong for noise {case[0]:g}, rate {case[1]:g}, {case[2]} steps and delta {case[3]:g}.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Left: your bound, against two others. Right: digits, learnt from 1,200 images by a small network in 150 of your steps, with rate 0.1. **Predict:** at which $\varepsilon$ does the accuracy begin to fall?

# %% tags=["demo", "nbval-ignore-output"]
def draw_privacy(noises=(0.6, 0.8, 1.2, 2.0, 4.0, 8.0), steps=150, rate=0.1, clip=1.0, learning_rate=1.0):
    from sklearn.datasets import load_digits

    epsilon_upper_bound(1.0, 0.1, 1, 1e-5)  # the quickest way to find out whether there is an answer
    dp_sgd_step(nn.Linear(1, 2), torch.ones(2, 1), torch.tensor([0, 1]), 0.5, 1.0, 1.0, 0.1, torch.Generator())
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    images, digits = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(digits[order])
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))

    numbers = [1, 3, 10, 30, 100, 300, 1000]
    left.plot(numbers, [n * epsilon_upper_bound(1.0, 0.1, 1, 1e-5 / n) for n in numbers], ":", color="C2", label="ε of single steps, added")
    left.plot(numbers, [epsilon_upper_bound(1.0, 1.0, n, 1e-5) for n in numbers], "--", color="C1", label="everybody in each batch")
    left.plot(numbers, [epsilon_upper_bound(1.0, 0.1, n, 1e-5) for n in numbers], "o-", ms=4, color="C0", label="your bound, rate 0.1")
    left.set(xscale="log", yscale="log", xlabel="steps", ylabel="ε at δ = 1e-5", title="What training costs (noise 1)")
    left.legend(fontsize=8)

    def accuracy(noise, seed, clip):
        torch.manual_seed(seed)
        network, generator = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)), torch.Generator().manual_seed(seed)
        for _ in range(steps):
            dp_sgd_step(network, images[:1200], digits[:1200], rate, clip, noise, learning_rate, generator)
        with torch.no_grad():
            return 100 * (network(images[1200:]).argmax(1) == digits[1200:]).double().mean().item()

    epsilons = [epsilon_upper_bound(noise, rate, steps, 1e-5) for noise in noises]
    for seed, mark in ((0, "o"), (1, "s")):
        right.plot(epsilons, [accuracy(noise, seed, clip) for noise in noises], mark, ms=5, color="C0", mfc="none", label="private" if seed == 0 else None)
    right.axhline(accuracy(0.0, 0, clip), color="0.4", ls=":", label="clipped, no noise")
    right.set(xscale="log", xlabel="ε at δ = 1e-5", ylabel="test accuracy, in %", title="What privacy costs")
    right.legend(fontsize=8, loc="lower right")
    plt.show()


try:
    draw_privacy()
except NotImplementedError:
    print("This figure needs your functions of exercise 7.6.")

# %% [markdown]
# Left: after 100 steps your bound is 8.0, with everybody in each batch it would be 110 (the exact value is 92), and adding up single steps gives 305. Right (circles and squares: two seeds): with $\varepsilon = 7$ and more the accuracy is that without noise, within a point (five seeds); it is 4 to 6 points lower at 1.3, and 20 to 26 at 0.6.
#
# Papers report results at $\varepsilon = 8$ (such as De et al., arXiv:2204.13650), a weak bound on one person's odds: $e^8$ is about 3,000. Trying several clips or learning rates on the private data costs privacy, too.
#
# In practice: Opacus (PyTorch) wraps model, optimizer and data loader, draws Poisson batches, and has *accountants*, which compute such bounds. It is common to shuffle batches, and to report the bound for Poisson batches all the same (Chua et al., arXiv:2403.17673).
#
# **Change, predict, run.** `draw_privacy(clip=0.1, learning_rate=10.0)`. What becomes of the noise, of $\varepsilon$, and of the accuracy?
#
# <details><summary>What you should see</summary>
#
# $\varepsilon$ is the same: `noise` is measured in units of the clip. The noise on the sum is a tenth, and the learning rate makes up for it. But gradients with a norm below 1 now move the parameters further than before. That helped a little where there was much noise: at $\varepsilon = 0.6$ by 1.5 to 4 points (five seeds).
# </details>
