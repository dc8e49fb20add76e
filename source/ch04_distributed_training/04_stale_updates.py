# %% [markdown]
# ## 4.4 Stale and local updates
#
# *"For data parallelism, split the data set, train a model on each part, and average them."* Three workers, one weight $x$. Worker $w$
# has the loss $\tfrac12 \lambda_w (x - b_w)^2$, with $\lambda = 0.2, 1, 3$ and $b = 1, -2, 4$. The mean loss is smallest at $\sum \lambda_w b_w / \sum \lambda_w$.
# **Predict first:** is the average of the three trained models there, too?

# %% nbgrader={"grade": false, "grade_id": "setup_stale_updates", "locked": true, "schema_version": 3, "solution": false, "task": false}
import heapq
import math
from collections.abc import Callable

Gradient = Callable[[int, torch.Tensor], torch.Tensor]  # of a worker's loss, at given weights

# %% tags=["demo"]
def compare_averages():
    curvatures, minima = torch.tensor([0.2, 1.0, 3.0]), torch.tensor([1.0, -2.0, 4.0])
    loss = lambda x: float((curvatures * (x - minima) ** 2 / 2).mean())
    for name, x in [("the three minima, averaged", minima.mean()), ("the minimum of the mean loss", (curvatures * minima).sum() / curvatures.sum())]:
        print(f"{name:29} x = {x:.3f}, mean loss {loss(x):.2f}")


compare_averages()

# %% [markdown]
# It is not: averaging forgets which loss is steep. **Synchronous data parallelism** trains one model. In each step, all workers compute gradients at the *same* weights $x$, these are averaged, and all make the
# same update:
#
# $$x \leftarrow x - \eta \, \frac1N \sum_w \nabla L_w(x) .$$
#
# That is one step on a batch $N$ times as large. **Local SGD** saves communication: $H$ steps alone, then the *weights* are averaged, and so on (Stich, arXiv:1805.09767).
#
# ### The parameter server
#
# A **parameter server** (Li et al., *Scaling Distributed Machine Learning with the Parameter Server*, OSDI 2014) is no alternative to data parallelism, but a **topology** for it. Workers send gradients
# to servers, which keep the weights, update them and send them back. A step with $N$ workers and $n$ bytes of weights:
#
# | topology | the busiest machine sends | can be asynchronous |
# |---|---|---|
# | one server | $N n$ | yes |
# | weights in $N$ equal parts, a server beside each worker | $2 \frac{N-1}{N} n$ | yes |
# | ring all-reduce (4.1) | $2 \frac{N-1}{N} n$ | no |
#
# The last two agree: servers that share the weights do a reduce-scatter and an all-gather. More servers also share the memory.
#
# **Asynchronous** means: the server applies each gradient when it arrives, and nobody waits for the slowest. But the gradient belongs to old weights. Its **staleness** $\tau$ is the number of updates
# since the worker read them:
#
# $$x_{t+1} = x_t - \eta \, \nabla L(x_{t - \tau}) .$$
#
# On a quadratic loss, a direction of curvature $\lambda$ follows $x_{t+1} = x_t - \eta \lambda x_{t-\tau}$. Put in $x_t = z^t$: then $z^{\tau+1} - z^\tau + \eta\lambda = 0$, and $x_t$ tends to 0 exactly if all
# roots have $|z| < 1$.

# %% [markdown]
# ### Exercise 4.4 · Updates that come late
#
# > **Difficulty** ★★☆☆ · **45 minutes** · **9 points** · PyTorch
#
# **Write** three functions.
#
# <details><summary>Hint 1: a clock without a clock</summary>
#
# Keep a heap of `(time of arrival, worker)`; the smallest comes out first. For each worker, remember the weights that it read, and how many updates there had been.
# </details>
#
# <details><summary>Hint 2: the stable rate</summary>
#
# By bisection, with `numpy.roots`. Or on paper: where is the largest root at the bound?
# </details>
#
# <details><summary>Hint 3: on paper</summary>
#
# There, $z = e^{i\theta}$, and $\eta\lambda = z^\tau (1 - z)$ must be positive. Which angle has it?
# </details>
#
# <details><summary>Hint 4: whose weights are these?</summary>
#
# `x -= rate * g` changes a tensor that somebody has read or stored. `x = x - rate * g` makes a new one.
# </details>

# %% nbgrader={"grade": false, "grade_id": "stale_updates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def parameter_server(
    gradient: Gradient, x: torch.Tensor, rate: float, seconds: list[int], n_updates: int
) -> tuple[list[torch.Tensor], list[int]]:
    """Asynchronous gradient descent with one server, in simulated time.

    At time 0, every worker reads the weights x. Worker w computes the gradient of its loss at the
    weights that it has read, which takes seconds[w], and sends it. When it arrives, the server makes
    an update: it subtracts rate * gradient from its present weights. The worker reads the result
    at once, and begins again. Nothing else takes time. Of gradients that arrive at the same time,
    that of the worker with the smaller number comes first.

    Args:
        gradient: gradient(worker, weights), of the weights' shape and type. It depends on its
            arguments alone. It may return `weights` itself.
        x: weights at the beginning, floating point, of any shape. Not modified.
        rate: learning rate.
        seconds: for each of the workers 0, 1, ..., how long a gradient takes it; at least 1. Not modified.
        n_updates: after so many updates the simulation ends; 0 or more.

    Returns:
        The server's weights at the beginning and after each update, n_updates + 1 tensors of x's
        shape and type, and the staleness of each update: how many updates the server made since
        the worker had read the weights, this one not counted.

    >>> weights, staleness = parameter_server(lambda worker, x: x, torch.tensor(1.0), 0.5, [1, 1], 3)
    >>> [w.item() for w in weights], staleness
    ([1.0, 0.5, 0.0, -0.25], [0, 1, 1])
    """
    ### BEGIN SOLUTION
    weights, staleness = [x], []
    read = [0] * len(seconds)  # for each worker: how many updates its weights have had
    arrivals = [(duration, worker) for worker, duration in enumerate(seconds)]
    heapq.heapify(arrivals)
    for update in range(n_updates):
        now, worker = heapq.heappop(arrivals)
        weights.append(weights[-1] - rate * gradient(worker, weights[read[worker]]))
        staleness.append(update - read[worker])
        read[worker] = update + 1
        heapq.heappush(arrivals, (now + seconds[worker], worker))
    return weights, staleness
    ### END SOLUTION


def stable_rate(hessian: torch.Tensor, staleness: int) -> float:
    """The bound below which gradient descent with stale gradients is stable on a quadratic loss.

    The loss is x.T @ hessian @ x / 2, and x_{t+1} = x_t - rate * hessian @ x_{t - staleness}. For rates between 0
    and the bound, x_t tends to 0 from any weights; above it, from some weights it does not.

    Args:
        hessian: (d, d), float64, symmetric, all eigenvalues positive. Not modified.
        staleness: 0 or more.

    Returns:
        The bound, with a relative error of at most 1e-6.

    >>> stable_rate(torch.eye(2, dtype=torch.float64), 0), stable_rate(4 * torch.eye(2, dtype=torch.float64), 1)
    (2.0, 0.25)
    """
    ### BEGIN SOLUTION
    steepest = torch.linalg.eigvalsh(hessian).max().item()
    return 2 / steepest * math.sin(math.pi / (2 * (2 * staleness + 1)))
    ### END SOLUTION


def local_sgd(
    gradient: Gradient, x: torch.Tensor, rate: float, n_workers: int, local_steps: int, rounds: int
) -> list[torch.Tensor]:
    """Local SGD: in each round, every worker starts at the same weights, makes `local_steps` steps of
    gradient descent on its own loss, and then the mean of all workers' weights becomes the start of
    the next round.

    Args:
        gradient, x, rate: as above. x is not modified.
        n_workers: workers are 0 to n_workers - 1.
        local_steps: 1 or more. With 1, a round is a step of synchronous data parallelism.
        rounds: 0 or more.

    Returns:
        The common weights at the beginning and after each round: rounds + 1 tensors of x's shape
        and type.

    >>> [w.item() for w in local_sgd(lambda worker, x: x - worker, torch.tensor(0.0), 0.5, 3, 1, 2)]
    [0.0, 0.5, 0.75]
    """
    ### BEGIN SOLUTION
    weights = [x]
    for _ in range(rounds):
        ends = []
        for worker in range(n_workers):
            own = weights[-1]
            for _ in range(local_steps):
                own = own - rate * gradient(worker, own)
            ends.append(own)
        weights.append(torch.stack(ends).mean(0))
    return weights
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_stale_updates", "locked": true, "points": 9, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=9)


def shown(weights):
    return [round(w.item(), 4) for w in weights]


@check(points=1, hint="A gradient belongs to the weights that the worker read; it is subtracted from those that the server has when it arrives.")
def a_slow_and_a_fast_worker():
    """One weight, the loss x²/2, rate 1/4, workers that take 3 seconds and 1: weights and staleness, by hand."""
    def run():
        return parameter_server(lambda worker, x: x, torch.tensor(256.0), 0.25, [3, 1], 5)

    answer = probe(run)
    assert answer is not None, "parameter_server returns None: is the return missing?"
    weights, staleness = answer
    # Worker 1 updates at seconds 1 and 2; at second 3 worker 0 comes first, with the gradient 256.
    assert len(weights) == 6, f"{len(weights)} weights instead of 6: the beginning, and one after each of 5 updates"
    assert list(staleness) == [0, 0, 2, 1, 0], f"the staleness is {list(staleness)} instead of [0, 0, 2, 1, 0]"
    wanted = [256.0, 192.0, 144.0, 80.0, 44.0, 33.0]
    assert shown(weights) == wanted, f"the weights are {shown(weights)} instead of {wanted}"


@check(points=0.5, hint="The steepest direction decides, and staleness lowers the bound.")
def bounds_that_are_known():
    """Curvatures 1 and 4: the bound is 2/4 without staleness, 1/4 at staleness 1, and 0.618/4 at staleness 2."""
    for staleness, wanted in [(0, 0.5), (1, 0.25), (2, (math.sqrt(5) - 1) / 8)]:
        found = stable_rate(torch.tensor([[1.0, 0], [0, 4]], dtype=torch.float64), staleness)
        assert found is not None, "stable_rate returns None: is the return missing?"
        assert isinstance(found, float), f"the bound is a {type(found).__name__} and not a float"
        assert abs(found - wanted) < 1e-5, f"{found:.6f} instead of {wanted:.6f} at staleness {staleness}"


@check(points=0.5, hint="Every worker starts at the common weights; the weights are averaged after each round, not once at the end.")
def two_rounds_by_hand():
    """Two workers with gradients x and 3 (x - 8), rate 1/4: common weights after rounds of one and of two steps."""
    def run(local_steps):
        return local_sgd(lambda worker, x: 3 * (x - 8) if worker else x, torch.tensor(0.0), 0.25, 2, local_steps, 2)

    for local_steps, wanted in [(1, [0.0, 3.0, 4.5]), (2, [0.0, 3.75, 4.9219])]:
        weights = probe(run, local_steps)
        assert weights is not None, "local_sgd returns None: is the return missing?"
        assert shown(weights) == wanted, f"with local_steps={local_steps} the weights are {shown(weights)} instead of {wanted}"


### BEGIN HIDDEN TESTS
def a_case(seed, n_workers, shape=(3,), dtype=torch.float64):
    """Data of losses that are no quadratics, one for each worker."""
    generator = torch.Generator().manual_seed(seed)
    x, minima = (torch.randn(n, *shape, generator=generator, dtype=torch.float64).to(dtype) for n in (1, n_workers))
    curvatures = (torch.rand(n_workers, *shape, generator=generator, dtype=torch.float64) * 2 + 0.3).to(dtype)
    return x[0], curvatures, minima


def on_the_server(cases):
    """parameter_server in the student's process, and whether x and seconds are as they were."""
    def run(cases):
        answers = []
        for x, curvatures, minima, rate, seconds, n_updates in cases:
            before, given = x.clone(), list(seconds)
            gradient = lambda worker, at, curvatures=curvatures, minima=minima: curvatures[worker] * torch.tanh(at - minima[worker])
            weights, staleness = parameter_server(gradient, x, rate, given, n_updates)
            answers.append((list(weights), [int(s) for s in staleness], torch.equal(x, before) and given == seconds))
        return answers

    return probe(run, cases)


def compare(found, wanted, where):
    if len(found) != len(wanted):
        fail(f"The number of weights is wrong {where}.")
    for a, b in zip(found, wanted, strict=True):
        if not isinstance(a, torch.Tensor) or a.shape != b.shape or a.dtype != b.dtype:
            fail(f"The weights do not have the shape and type of x {where}.")
        if not torch.allclose(a, b, rtol=1e-9 if b.dtype == torch.float64 else 1e-4, atol=1e-9 if b.dtype == torch.float64 else 1e-4):
            return False
    return True


@check(points=1.5, hint="With N equal workers, the gradient is N - 1 updates old, after the first N. Has something changed in place what a worker had read?")
def equal_workers_delay_by_n_minus_one():
    """N equally fast workers make x[t+1] = x[t] - rate * gradient(x[t - N + 1]), each worker in its turn; for N from 1 to 5."""
    cases = [(*a_case(n, n, shape), 0.3, [2] * n, 4 * n + 3) for n, shape in [(1, (3,)), (2, ()), (3, (2, 2)), (4, (1,)), (5, (3,))]]
    for (x, curvatures, minima, rate, seconds, n_updates), (weights, staleness, _) in zip(cases, on_the_server(cases), strict=True):
        n = len(seconds)
        truth = [x]
        for t in range(n_updates):
            truth.append(truth[-1] - rate * curvatures[t % n] * torch.tanh(truth[max(0, t - n + 1)] - minima[t % n]))
        if staleness != [min(t, n - 1) for t in range(n_updates)]:
            fail(f"The staleness is wrong with {n} equal workers.")
        if not compare(weights, truth, f"with {n} equal workers"):
            fail(f"The weights are wrong with {n} equal workers.")


@check(points=1.5, hint="Go from arrival to arrival. A worker's staleness depends on what all others did meanwhile. When two arrive together, who comes first?")
def any_speeds():
    """Workers of any speeds: weights and staleness are those of a simulation second by second, with any number of updates."""
    speeds = [[1, 3], [3, 1], [2, 7, 3], [5, 1, 1, 4], [4, 6], [9, 9, 2], [1], [10, 1]]
    cases = [(*a_case(20 + i, len(seconds)), 0.2, seconds, n_updates) for i, (seconds, n_updates) in enumerate(zip(speeds, [14, 14, 17, 25, 9, 12, 3, 0], strict=True))]
    for (x, curvatures, minima, rate, seconds, n_updates), (weights, staleness, _) in zip(cases, on_the_server(cases), strict=True):
        copies, versions = [x.clone() for _ in seconds], [0] * len(seconds)  # as each worker read them
        truth, old, second = [x], [], 0
        while len(old) < n_updates:
            second += 1
            for worker, duration in enumerate(seconds):
                if second % duration == 0 and len(old) < n_updates:
                    old.append(len(truth) - 1 - versions[worker])
                    truth.append(truth[-1] - rate * curvatures[worker] * torch.tanh(copies[worker] - minima[worker]))
                    copies[worker], versions[worker] = truth[-1].clone(), len(truth) - 1
        if staleness != old:
            fail("The staleness is wrong for workers of different speeds.")
        if not compare(weights, truth, "for workers of different speeds"):
            fail("The staleness is correct, the weights are not, for workers of different speeds.")


@check(points=1.5, hint="All roots of z^(τ+1) - z^τ + rate·λ must lie inside the unit circle, for the largest eigenvalue λ of the Hessian (not its largest entry), however small or large that is.")
def the_bound_is_where_roots_leave_the_circle():
    """Just below stable_rate all roots of the recursion are inside the unit circle, just above it one is outside; also for Hessians that are not diagonal."""
    cases = []
    for i, staleness in enumerate([0, 1, 2, 3, 4, 5, 8, 12, 20]):
        generator = torch.Generator().manual_seed(i)
        size, scale = 4 - i % 4, 10.0 ** (4 * (i % 3) - 4)
        turn, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
        eigenvalues = scale * (torch.rand(size, generator=generator, dtype=torch.float64) + 0.05)
        hessian = turn @ torch.diag(eigenvalues) @ turn.T
        cases.append(((hessian + hessian.T) / 2, staleness))

    def run(cases):
        bounds = [float(stable_rate(hessian, staleness)) for hessian, staleness in cases]
        return bounds, [hessian for hessian, _ in cases]

    bounds, after = probe(run, cases)
    for bound, (hessian, staleness), left in zip(bounds, cases, after, strict=True):
        def radius(rate, hessian=hessian, staleness=staleness):
            """The largest root in size, of all directions."""
            return max(np.abs(np.roots([1, *([-1] if staleness else []), *[0] * (staleness - 1), rate * curvature - (staleness == 0)])).max() for curvature in torch.linalg.eigvalsh(hessian).tolist())

        if not (math.isfinite(bound) and bound > 0):
            fail("The bound is not a positive number.")
        if radius(bound * (1 - 1e-5)) >= 1:
            fail(f"Your bound is too high at staleness {staleness}: just below it, descent is not stable.")
        if radius(bound * (1 + 1e-5)) <= 1:
            fail(f"Your bound is too low at staleness {staleness}: just above it, descent is still stable.")
        if not torch.equal(hessian, left):
            fail("The Hessian is modified.")


def locally(cases):
    """local_sgd in the student's process."""
    def run(cases):
        answers = []
        for x, curvatures, minima, rate, local_steps, rounds, bend in cases:
            before = x.clone()
            gradient = lambda worker, at, curvatures=curvatures, minima=minima, bend=bend: curvatures[worker] * (torch.tanh(at - minima[worker]) if bend else at - minima[worker])
            answers.append((list(local_sgd(gradient, x, rate, len(minima), local_steps, rounds)), torch.equal(x, before)))
        return answers

    return probe(run, cases)


@check(points=0.75, hint="One local step, then the mean of the weights: that is a step with the mean gradient, which is the gradient of the whole batch.")
def one_local_step_is_a_large_batch():
    """With one local step, local SGD is torch's SGD on the mean of all workers' losses, also for losses that are no quadratics."""
    cases = [(*a_case(40 + n, n, shape), 0.4, 1, 6, True) for n, shape in [(1, (3,)), (2, (2, 3)), (3, ()), (5, (1,))]]
    for (x, curvatures, minima, rate, _, rounds, _), (weights, _) in zip(cases, locally(cases), strict=True):
        parameter = x.clone().requires_grad_()
        optimizer = torch.optim.SGD([parameter], lr=rate)
        truth = [x]
        for _ in range(rounds):
            optimizer.zero_grad()
            (curvatures * torch.log(torch.cosh(parameter - minima))).mean(0).sum().backward()
            optimizer.step()
            truth.append(parameter.detach().clone())
        if not compare(weights, truth, "with one local step"):
            fail(f"With one local step and {len(minima)} workers, the weights are not those of one model on all data.")


@check(points=1, hint="Each round starts at the mean that the last one ended with, for all workers.")
def rounds_have_their_closed_form():
    """On quadratics, any number of local steps, rounds and workers follows the closed form."""
    cases = [(*a_case(60 + i, n), 0.25, local_steps, rounds, False) for i, (n, local_steps, rounds) in enumerate([(3, 8, 4), (2, 2, 7), (4, 3, 5), (1, 3, 2), (3, 50, 1), (2, 5, 0)])]
    for (x, curvatures, minima, rate, local_steps, rounds, _), (weights, _) in zip(cases, locally(cases), strict=True):
        kept = (1 - rate * curvatures) ** local_steps  # of the distance to the worker's own minimum
        truth = [x]
        for _ in range(rounds):
            truth.append((minima + kept * (truth[-1] - minima)).mean(0))
        if not compare(weights, truth, f"with {local_steps} local steps and {rounds} rounds"):
            fail(f"With {local_steps} local steps, {rounds} rounds and {len(minima)} workers, the weights are wrong.")


@check(points=0.75, hint="Make a new tensor for each update. In-place operations change what was read, what was stored, or the caller's x. And when two arrive together, who comes first?")
def nothing_is_changed_in_place():
    """x and seconds stay as they are, earlier weights too, also where the gradient is the tensor that was passed in; float32 stays float32."""
    cases = [(*a_case(80, 2, (2, 2), dtype), 0.3, [2, 3], 7) for dtype in (torch.float32, torch.float64)]
    if not all(untouched for *_, untouched in on_the_server(cases)):
        fail("parameter_server modifies x or seconds.")
    rounds = [(*a_case(81, 2, (2, 2), dtype), 0.3, 3, 4, True) for dtype in (torch.float32, torch.float64)]
    if not all(untouched for _, untouched in locally(rounds)):
        fail("local_sgd modifies x.")

    def run(x):
        given = lambda worker, at: at
        return x.clone(), list(parameter_server(given, x, 0.3, [2, 3, 2], 9)[0]), list(local_sgd(given, x, 0.3, 3, 2, 4)), x

    for x in (torch.randn(3, 2, dtype=torch.float64).T, torch.randn(3), torch.tensor(2.0, dtype=torch.float64)):
        before, weights, common, after = probe(run, x)
        if not torch.equal(before, after):
            fail("x is modified where the gradient is the tensor that was passed in.")
        truth, read = [x], [0, 0, 0]
        for worker in (0, 2, 1, 0, 2, 0, 1, 2, 0):  # arrivals at 2, 2, 3, 4, 4, 6, 6, 6, 8
            truth.append(truth[-1] - 0.3 * truth[read[worker]])
            read[worker] = len(truth) - 1
        if not compare(weights, truth, "from parameter_server"):
            fail("parameter_server's weights are wrong where the gradient is the tensor that was passed in.")
        if not compare(common, [x * 0.7 ** (2 * r) for r in range(5)], "from local_sgd"):
            fail("local_sgd's weights are wrong where the gradient is the tensor that was passed in.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How stale, and how local?
#
# On the left, your server runs $\tau + 1$ equal workers on $x^2/2$ for 300 updates: blue where $x$ has shrunk, red where it has grown. The line is your `stable_rate`. On the right, local SGD
# on the three losses from above. **Predict first:** how many local steps move its resting point halfway to the plain mean?

# %% tags=["demo", "raises-exception"]
def draw_stale_and_local(rate=0.1):
    staleness, rates = range(9), np.linspace(0.05, 2.15, 36)
    curvatures, minima = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64), torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
    steps = [1, 2, 4, 8, 16, 32, 64, 256, 1000]
    one = torch.ones((), dtype=torch.float64)
    try:
        growth = np.zeros((len(rates), len(staleness)))
        for column, tau in enumerate(staleness):
            for row, speed in enumerate(rates):
                weights, _ = parameter_server(lambda worker, x: x, one, float(speed), [1] * (tau + 1), 300)
                growth[row, column] = math.log10(max(abs(w.item()) for w in weights[-12:]) + 1e-30)
        bounds = [stable_rate(one[None, None], tau) for tau in staleness]
        slope = lambda worker, x: curvatures[worker] * (x - minima[worker])
        rests = [local_sgd(slope, 2 * one, rate, 3, h, max(2, 600 // h))[-1].item() for h in steps]
    except NotImplementedError:
        print("This figure is made by your three functions. Write them first.")
        return
    _, (left, right) = plt.subplots(1, 2, figsize=(9.7, 3.6), layout="constrained")
    image = left.pcolormesh(staleness, rates, growth, cmap="RdBu_r", vmin=-3, vmax=3)
    plt.colorbar(image, ax=left, extend="both", label="size of $x$ (powers of 10)")
    left.plot(staleness, bounds, "o-", color="black", ms=4, lw=1.4, label="stable_rate")
    left.legend(loc="upper right", frameon=True, facecolor="white", framealpha=1)
    left.set(title="Stale gradients", xlabel="staleness $\\tau$", ylabel="rate × curvature", xticks=list(staleness))
    left.grid(False)
    best, mean = float((curvatures * minima).sum() / curvatures.sum()), float(minima.mean())
    right.plot(steps, rests, "o-", ms=5)
    for height, name in [(best, "minimum of the mean loss"), (mean, "mean of the three minima")]:
        right.axhline(height, color="0.45", ls="--", lw=1.2)
        right.text(1000, height + 0.03 if height == best else height - 0.03, name, fontsize=9, color="0.35", ha="right", va="bottom" if height == best else "top")
    right.set(title=f"Local SGD, rate {rate}", xlabel="local steps $H$", ylabel="where it comes to rest", xscale="log", ylim=(mean - 0.2, best + 0.2))
    plt.show()
    print("stable_rate:", ", ".join(f"{tau}: {bound:.3f}" for tau, bound in zip(staleness, bounds, strict=True)))
    print("comes to rest at:", ", ".join(f"H = {h}: {rest:.3f}" for h, rest in zip(steps, rests, strict=True)))


draw_stale_and_local()

# %% [markdown]
# **Left.** A staleness of 1 halves the stable rate; a staleness of 8 leaves less than a tenth. **Right.** With one local step it rests at the minimum of the mean loss; with eight, more than halfway to the plain mean, where training
# three models alone would end. On quadratics it rests at (compare Charles and Konečný, arXiv:2103.05032)
#
# $$\frac{\sum_w c_w b_w}{\sum_w c_w}, \qquad c_w = 1 - (1 - \eta\lambda_w)^H .$$
#
# So *"in data parallelism, each device computes gradients and updates on its own, so the models drift apart"* describes local SGD. Synchronous replicas make the same update. Where networks are slow, local steps can still pay: DiLoCo (Douillard et al., arXiv:2311.08105) averages only after hundreds of them.
#
# **Change, predict, run.** `draw_stale_and_local(rate=0.01)`. What does a ten times smaller rate do to the right curve?
#
# <details><summary>Answer</summary>
#
# It moves to the right by a factor of about ten: what counts is $\eta H$, how far workers go alone. With 64 local steps it now rests at 1.79.
# </details>
