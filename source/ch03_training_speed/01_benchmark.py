# %% [markdown]
# ## 3.1 An honest benchmark
#
# Somebody times a product of two 8192 × 8192 matrices on a graphics card: start the stopwatch, `a @ b`, stop. It shows 20 microseconds:
# $2 \cdot 8192^3 / 0.00002 = 5.5 \cdot 10^{16}$ operations per second, many times what the card can do. What was measured?
#
# An accelerator works through a **queue**. `a @ b` puts a job into it and returns before it is done (PyTorch manual, *CUDA semantics*,
# "Asynchronous execution"). `torch.accelerator.synchronize()` waits until the queue is empty.
#
# In the simulation, a launch takes the host 0.25 s, and a job takes the device 1 s. Two older jobs are in the queue. **Predict** what three stopwatches show for the last call.

# %% nbgrader={"grade": false, "grade_id": "setup_benchmark", "locked": true, "schema_version": 3, "solution": false, "task": false}
import statistics
import time
from collections.abc import Callable


class SimulatedDevice:
    """An accelerator with a queue, in simulated time.

    Args:
        works: seconds of work of each launch in turn; the last is repeated.
        backlog: seconds of work that are in the queue at the beginning.
    """

    LAUNCH = 0.25  # seconds that a launch takes the host

    def __init__(self, works: list[float], backlog: float = 0.0):
        self.works, self.now, self.idle_from, self.launches = works, 0.0, backlog, 0

    def launch(self) -> None:
        """Puts one job into the queue. Does not wait for it."""
        self.now += self.LAUNCH
        work = self.works[min(self.launches, len(self.works) - 1)]
        self.idle_from = max(self.idle_from, self.now) + work
        self.launches += 1

    def sync(self) -> None:
        """Waits until the queue is empty."""
        self.now = max(self.now, self.idle_from)

    def clock(self) -> float:
        """The time in seconds."""
        return self.now


# %% tags=["demo"]
def draw_stopwatches():
    _, axes = plt.subplots(3, 1, figsize=(9.3, 4.3), sharex=True)
    panels = [("no synchronisation", False, False), ("synchronised after the call", False, True), ("synchronised before and after", True, True)]
    for ax, (title, before, after) in zip(axes, panels, strict=True):
        device = SimulatedDevice([1.0])
        jobs, launches = [], []

        def call(device=device, jobs=jobs, launches=launches):
            launches.append((device.clock(), device.LAUNCH))
            device.launch()
            jobs.append((device.idle_from - 1, 1.0))

        call()
        call()
        if before:
            device.sync()
        start = device.clock()
        call()
        if after:
            device.sync()
        end = device.clock()
        ax.broken_barh(launches, (1.1, 0.8), color="C0", ec="white")
        ax.broken_barh(jobs[:-1], (0.1, 0.8), color="C4", ec="white")
        ax.broken_barh(jobs[-1:], (0.1, 0.8), color="C1", ec="white")
        ax.axvspan(start, end, color="0.87", lw=0, zorder=0)
        ax.text(end + 0.05, 1.5, f"stopwatch: {end - start:.2f} s", va="center", fontsize=10)
        ax.set(title=title, yticks=[0.5, 1.5], yticklabels=["device", "host"], ylim=(0, 2), xlim=(0, 4.3))
        ax.grid(False)
    axes[-1].set_xlabel("simulated time (s); blue: launches, light blue: older jobs, orange: the job in question, grey: what is measured")
    plt.show()


draw_stopwatches()

# %% [markdown]
# Only the last is correct: 1.25 s. The first measures the launch alone; the second measures the older jobs, too. More such mistakes:
#
# | mistake | what it adds |
# |---|---|
# | no **warm-up** | what only first calls do: load libraries, reserve memory, compile |
# | the **mean** | interruptions by other programs; the median hardly moves (Hoefler and Belli, *Scientific Benchmarking of Parallel Computing Systems*, SC 2015) |
# | results that are kept | memory for two calls instead of one |
#
# ### Fast, compared with what?
#
# An operation computes, and it moves bytes between memory and processor. Both can happen at the same time, so it takes at least
#
# $$t = \max\left(\frac{\text{FLOPs}}{\text{peak}},\ \frac{\text{bytes}}{\text{bandwidth}}\right),$$
#
# the **roofline** (Williams, Waterman and Patterson, *Roofline: An Insightful Visual Performance Model*, CACM 52(4), 2009). FLOPs per byte are the **intensity**; where both times are equal lies the **ridge**.

# %% [markdown]
# ### Exercise 3.1 · An honest benchmark
#
# > **Difficulty** ★☆☆☆ · **25 minutes** · **8 points** · PyTorch
#
# **Given** `SimulatedDevice`, to try your answer on.
#
# **Write** `bench`, `linear_cost` and `roofline`.
#
# <details><summary>Hint 1: where to wait</summary>
#
# *After* the warm-up, before the clock is read for the first time; and again before each end is read.
# </details>
#
# <details><summary>Hint 2: nothing is kept</summary>
#
# `result = fn()` keeps the result until the next is there. `fn()` alone keeps nothing.
# </details>
#
# <details><summary>Hint 3: zeros</summary>
#
# Compare two times instead of two intensities, and nothing is divided by zero.
# </details>

# %% nbgrader={"grade": false, "grade_id": "benchmark", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bench(
    fn: Callable[[], object],
    warmup: int = 3,
    iters: int = 20,
    sync: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Times a function that may launch work on a device without waiting for it.

    Calls fn `warmup` times untimed, then `iters` times. Each of these is timed by itself: from a
    moment at which the device is idle, until it has finished what the call has launched. The device
    may be busy with older work when bench is called, also if warmup is 0; none of it is counted.

    Args:
        fn: called without arguments, warmup + iters times altogether. What it returns is not kept:
            whenever fn runs, results of earlier calls are no longer in memory.
        warmup: 0 or more.
        iters: 1 or more.
        sync: called without arguments, waits until the device is idle. None: nothing to wait for.
        clock: gives the time in seconds; the only clock that is used.

    Returns:
        The "median", "min" and "max" of the times of the timed calls, floats in seconds. The
        median of an even number of times is the mean of the middle two.

    Raises:
        ValueError: if warmup is below 0 or iters below 1; fn is not called then.

    >>> device = SimulatedDevice([9.0, 1.0])  # the first job is slow
    >>> bench(device.launch, warmup=1, iters=3, sync=device.sync, clock=device.clock)
    {'median': 1.25, 'min': 1.25, 'max': 1.25}
    """
    ### BEGIN SOLUTION
    if warmup < 0 or iters < 1:
        raise ValueError("warmup is at least 0 and iters at least 1")
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(iters):
        if sync is not None:
            sync()
        start = clock()
        fn()
        if sync is not None:
            sync()
        times.append(clock() - start)
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}
    ### END SOLUTION


def linear_cost(n_rows: int, d_in: int, d_out: int, bytes_per_number: int) -> tuple[int, int]:
    """FLOPs and bytes of a linear layer without bias, y = x @ weight.T.

    An addition and a multiplication are one FLOP each, and a sum of d_in products counts d_in
    additions. The bytes are the least that has to be moved: x (n_rows, d_in) and weight
    (d_out, d_in) are read once and y (n_rows, d_out) is written once.

    >>> linear_cost(1, 4, 3, bytes_per_number=2)
    (24, 38)
    """
    ### BEGIN SOLUTION
    flops = 2 * n_rows * d_in * d_out
    numbers = n_rows * d_in + d_out * d_in + n_rows * d_out
    return flops, bytes_per_number * numbers
    ### END SOLUTION


def roofline(flops: float, n_bytes: float, peak: float, bandwidth: float) -> tuple[float, str]:
    """The least time of an operation on a machine, and what bounds it, by the formula above.

    Args:
        flops: 0 or more.
        n_bytes: moved between memory and processor, 0 or more; not 0 if flops is.
        peak: FLOPs per second, above 0.
        bandwidth: bytes per second, above 0.

    Returns:
        Seconds, and "compute" or "memory": which of both takes longer. "compute" if both take
        equally long, give or take rounding.

    >>> roofline(flops=6e12, n_bytes=1e12, peak=1e12, bandwidth=2e11)
    (6.0, 'compute')
    """
    ### BEGIN SOLUTION
    computing, moving = flops / peak, n_bytes / bandwidth
    return max(computing, moving), "compute" if computing >= moving else "memory"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_benchmark", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=8)


@check(points=0.75, hint="Warm up; wait; then for each call: read the clock, call, wait, read the clock.")
def times_a_simulated_device():
    """bench gives the times of a simulated device whose first job is slow."""
    def run():
        device = SimulatedDevice([9.0, 1.0, 1.5, 7.0, 1.0, 2.0, 1.0])
        return bench(device.launch, warmup=1, iters=5, sync=device.sync, clock=device.clock)

    found = probe(run)
    assert found is not None, "bench returns None: is the return missing?"
    assert set(found) == {"median", "min", "max"}, f"the keys are {sorted(found)} instead of median, min and max"
    times = [1.25, 1.75, 7.25, 1.25, 2.25]
    median, least, most = (float(found[key]) for key in ("median", "min", "max"))
    assert least != 0.25, "the smallest time is 0.25 s, that of a launch: nothing waits for the device before the end is read"
    assert abs(median - sum(times) / 5) > 1e-6, "this is the mean, and one slow call moves it a lot"
    for name, value, truth in [("median", median, 1.75), ("min", least, 1.25), ("max", most, 7.25)]:
        assert abs(value - truth) < 1e-6, f"the timed calls take {times} s, but the {name} is {value:g} instead of {truth:g}"


@check(points=0.5, hint="Each of the n_rows × d_out results is a sum of d_in products. Three arrays are moved.")
def counts_a_small_layer():
    """linear_cost counts the FLOPs and bytes of two small layers."""
    for sizes, truth in [((1, 4, 3, 2), (24, 38)), ((10, 2, 5, 4), (200, 320))]:
        found = linear_cost(*sizes)
        assert found is not None, "linear_cost returns None: is the return missing?"
        assert tuple(found) == truth, f"linear_cost{sizes} is {tuple(found)} instead of {truth}"


@check(points=0.75, hint="Two times: flops / peak, and n_bytes / bandwidth. The larger one counts.")
def on_both_sides_of_the_ridge():
    """roofline gives the longer of two times, and its name."""
    for arguments, truth in [((6e12, 1e12, 1e12, 2e11), (6.0, "compute")), ((1e12, 1e12, 1e12, 2e11), (5.0, "memory"))]:
        found = roofline(*arguments)
        assert found is not None, "roofline returns None: is the return missing?"
        seconds, bound = found
        assert abs(seconds - truth[0]) < 1e-6, f"roofline{arguments} takes {seconds:g} s instead of {truth[0]:g}"
        assert bound == truth[1], f"roofline{arguments} is bound by {bound!r} instead of {truth[1]!r}"


### BEGIN HIDDEN TESTS
import gc
import random
import weakref


def benched(cases):
    """What bench says of simulated devices; each case is (works, backlog, warmup, iters)."""
    found = []
    for works, backlog, warmup, iters in cases:
        device = SimulatedDevice(works, backlog)
        device.now = 1000.0
        device.idle_from += device.now
        result = bench(device.launch, warmup=warmup, iters=iters, sync=device.sync, clock=device.clock)
        found.append(([result[key] for key in ("median", "min", "max")], device.launches))
    return found


def differs(found, times):
    """Whether median, min and max are not those of the times."""
    truth = np.quantile(times, [0.5, 0.0, 1.0])  # linear interpolation: the mean of the middle two
    return bool(np.any(~(np.abs(np.array(found, dtype=float) - truth) <= 1e-9 * max(times))))


@check(points=1.25, hint="Keep one time for each call, and take the median of them: for an even number, the mean of the middle two.")
def one_time_for_each_call():
    """Median, min and max are those of the single calls, for odd and even numbers of them and with outliers."""
    chance = random.Random(f"{torch.initial_seed()}")
    cases = []
    for iters in (1, 2, 3, 4, 7, 10, 25):
        works = [1 + chance.random() for _ in range(iters)]
        works[chance.randrange(iters)] *= 50  # an interruption
        cases.append((works, 0.0, 0, iters))
    for (found, _), (works, *_) in zip(probe(benched, cases), cases, strict=True):
        if differs(found, [SimulatedDevice.LAUNCH + work for work in works]):
            fail("With one slow call among " + ("an odd" if len(works) % 2 else "an even") + " number of calls, median, min or max is wrong.")


@check(points=1.25, hint="Wait after the warm-up, before the first reading, and after each call, before its end is read.")
def counts_only_what_it_launched():
    """Neither work of the warm-up nor older work in the queue is counted, with and without a warm-up."""
    busy = ([2.0, 3.0, 4.0], 40.0, 0, 3)  # older work, no warm-up
    warm = ([30.0, 20.0, 2.0, 3.0, 4.0, 6.0], 0.0, 2, 4)  # the warm-up leaves much to do
    both = ([30.0, 2.0, 3.0], 7.0, 1, 2)
    first, second, third = ((found, [SimulatedDevice.LAUNCH + work for work in works[warmup:]]) for (found, _), (works, _, warmup, _) in zip(probe(benched, [busy, warm, both]), [busy, warm, both], strict=True))
    if differs(*second):
        fail("Where the warm-up leaves a long queue, the times are wrong.")
    if differs(*first):
        fail("Where the queue holds older work and there is no warm-up, the times are wrong.")
    if differs(*third):
        fail("Where the queue holds older work and there is a warm-up, the times are wrong.")


@check(points=0.75, hint="warmup + iters calls; sync may be None; read no other clock than the one you are given.")
def calls_as_often_as_asked():
    """fn is called warmup + iters times, also without sync and by default; senseless numbers are refused."""
    def run():
        n_calls = []
        for warmup, iters in [(0, 1), (0, 4), (5, 1), (3, 6)]:
            device = SimulatedDevice([1.0])
            bench(device.launch, warmup=warmup, iters=iters, sync=device.sync, clock=device.clock)
            n_calls.append(device.launches)
        device = SimulatedDevice([1.0])
        host = bench(device.launch, warmup=0, iters=3, clock=device.clock)  # only the launch counts
        calls = []
        plain = bench(lambda: calls.append(1))
        n_calls.append(len(calls))
        refused = []
        for warmup, iters in [(-1, 3), (2, 0), (0, -1)]:
            device = SimulatedDevice([1.0])
            try:
                bench(device.launch, warmup, iters, device.sync, device.clock)
            except ValueError:
                refused.append(device.launches == 0)
            else:
                refused.append(False)
        return n_calls, host, plain, refused

    n_calls, host, plain, refused = probe(run)
    if n_calls != [1, 4, 6, 9, 23]:
        fail("fn is not called warmup + iters times.")
    if differs([host[key] for key in ("median", "min", "max")], [SimulatedDevice.LAUNCH] * 3):
        fail("Without sync, the times are wrong.")
    if not 0 <= plain["min"] <= plain["median"] <= plain["max"]:
        fail("With the real clock, min, median and max are not in this order.")
    if refused != [True] * 3:
        fail("A warmup below 0 or iters below 1 does not raise ValueError before fn is called.")


@check(points=0.5, hint="Call fn() without giving its result a name, in the warm-up, too.")
def keeps_no_result():
    """Whenever fn runs, no result of an earlier call is in memory."""
    def run():
        alive, most = [], []

        class Result:
            pass

        def fn():
            most.append(sum(reference() is not None for reference in alive))
            result = Result()
            alive.append(weakref.ref(result))
            return result

        gc.collect()
        bench(fn, warmup=3, iters=4)
        return most

    found = probe(run)
    if any(found[:4]):
        fail("A result of the warm-up is still in memory when fn is called again.")
    if any(found):
        fail("A result of a timed call is still in memory when fn is called again.")


@check(points=0.75, hint="2 × n_rows × d_in × d_out FLOPs; the bytes of x, of the weight and of y.")
def agrees_with_torchs_counter():
    """linear_cost agrees with torch's FlopCounterMode and with the sizes of the tensors."""
    from torch.utils.flop_counter import FlopCounterMode

    cases = [(1, 7, 5), (6, 1, 9), (11, 8, 1), (3, 20, 4), (64, 3, 10)]
    types = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    found = [[float(x) for x in linear_cost(*sizes, types[i % 4].itemsize)] for i, sizes in enumerate(cases)]
    for i, (n_rows, d_in, d_out) in enumerate(cases):
        x, weight = (torch.ones(shape, dtype=types[i % 4]) for shape in [(n_rows, d_in), (d_out, d_in)])
        with FlopCounterMode(display=False) as counter:
            y = F.linear(x, weight)
        flops, n_bytes = found[i]
        if flops != counter.get_total_flops():
            fail("The FLOPs are not those that torch counts.")
        if n_bytes != x.nbytes + weight.nbytes + y.nbytes:
            fail("The bytes are not those of x, weight and y.")


@check(points=0.75, hint="The longer time counts, because computing and moving overlap.")
def agrees_with_the_roofs():
    """FLOPs per second are the smaller of the peak and of the bandwidth times the intensity."""
    chance = random.Random(f"{torch.initial_seed()}")
    cases = []
    for exponent in np.linspace(-3, 3, 13):
        peak, bandwidth, n_bytes = (10 ** chance.uniform(*powers) for powers in [(9, 15), (8, 13), (0, 12)])
        cases.append((10**exponent * peak / bandwidth * 1.01 * n_bytes, n_bytes, peak, bandwidth))
    for (seconds, bound), (flops, n_bytes, peak, bandwidth) in zip([roofline(*case) for case in cases], cases, strict=True):
        rate, slope = flops / seconds, flops / n_bytes * bandwidth
        if not math.isclose(rate, min(peak, slope), rel_tol=1e-9):
            fail("The time is wrong for an operation " + ("right" if slope > peak else "left") + " of the ridge.")
        if bound != ("compute" if slope > peak else "memory"):
            fail("The bound is wrong for an operation " + ("right" if slope > peak else "left") + " of the ridge.")


@check(points=0.75, hint="Compare the times: at the ridge they are equal, and an operation without FLOPs or without bytes divides by nothing.")
def at_the_ridge_and_at_zero():
    """At the ridge the bound is "compute"; operations without FLOPs or without bytes have a time, too."""
    cases = {  # exact in binary
        "at the ridge": ((2.0**40, 2.0**30, 2.0**50, 2.0**40), (2.0**-10, "compute")),
        "at the ridge, with whole numbers": ((640, 64, 160, 16), (4.0, "compute")),
        "without FLOPs": ((0, 2.0**20, 2.0**40, 2.0**30), (2.0**-10, "memory")),
        "without bytes": ((2.0**20, 0, 2.0**40, 2.0**30), (2.0**-20, "compute")),
        "with whole numbers": ((3, 2, 2, 4), (1.5, "compute")),
    }
    for name, (case, (seconds, bound)) in cases.items():
        found = roofline(*case)
        if not math.isclose(found[0], seconds, rel_tol=1e-9):
            fail(f"The time is wrong {name}.")
        if found[1] != bound:
            fail(f"The bound is wrong {name}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Reading a roofline
#
# A linear layer with 4096 inputs and outputs, in 16 bits, on a card that promises $10^{15}$ FLOPs per second and moves $3.35 \cdot 10^{12}$ bytes per second. (About an H100 SXM, by NVIDIA's data
# sheet.) **Predict:** how much longer does it take for 64 rows than for one?

# %% tags=["demo", "nbval-ignore-output", "raises-exception"]
def draw_rooflines(peak=1e15, bandwidth=3.35e12, width=4096, size=2):
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.5))
    intensities = np.logspace(-1, 5, 200)
    axes[0].plot(intensities, np.minimum(peak, bandwidth * intensities), color="0.4")
    for n_rows, marker in [(1, "o"), (64, "s"), (512, "^"), (4096, "D")]:
        flops, n_bytes = linear_cost(n_rows, width, width, size)
        seconds, bound = roofline(flops, n_bytes, peak, bandwidth)
        colour = "C5" if bound == "memory" else "C0"
        axes[0].plot(flops / n_bytes, flops / seconds, marker, color=colour, ms=7)
        place = {512: (-88, 5), 4096: (-20, -17)}.get(n_rows, (8, -12))
        axes[0].annotate(f"{n_rows} row{'s' * (n_rows > 1)}: {1e6 * seconds:.0f} µs", (flops / n_bytes, flops / seconds), place, textcoords="offset points", fontsize=9)
    axes[0].set(title="By the formula", xscale="log", yscale="log", xlabel="intensity (FLOPs per byte)", ylabel="FLOPs per second", xlim=(0.1, 1e5))
    axes[0].text(0.4, 1e14, "bound by memory", fontsize=9, color="C5")
    axes[0].text(350, 1.8e15, "bound by compute", fontsize=9, color="C0")
    axes[0].set_ylim(2e11, 4e15)

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(width, width, generator=generator)
    rows = [1, 4, 16, 64]
    times = []
    for n_rows in rows:
        x = torch.randn(n_rows, width, generator=generator)
        times.append(bench(lambda x=x: F.linear(x, weight), warmup=1, iters=5)["median"])
    axes[1].plot(rows, np.array(times) * 1e3, "o-", color="C2", label="measured by your bench")
    axes[1].plot(rows, times[0] * np.array(rows) * 1e3, ":", color="0.4", label="as many times the time of one row")
    axes[1].set(title="On this machine's processor, 32 bits", xscale="log", yscale="log", xlabel="rows", ylabel="time of the layer (ms)")
    axes[1].set_xticks(rows, [str(n) for n in rows])
    axes[1].minorticks_off()
    axes[1].legend(fontsize=9)
    plt.show()


try:
    draw_rooflines()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.1.")

# %% [markdown]
# By the formula, hardly longer at all: both have to read the same 34 MB of weights. So a model that writes one token at a time
# leaves most of such a card idle, and smaller weights help there. Your processor is a different machine: where its curve lies below the dotted line, more rows cost less than their number.
#
# ### Reading a profile
#
# `bench` says how long; a **profiler** says where. Here are three training steps of the course's GPT (`torch.profiler`, with its own costs on top).

# %% tags=["demo", "shown", "nbval-ignore-output"]
def profile_gpt(n_steps=3):
    model = lesson.gpt(own=False).model
    ids = torch.randint(512, (16, 65), generator=torch.Generator().manual_seed(0))

    def step():
        F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()

    step()  # warm-up
    with lesson.quiet(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(n_steps):
            step()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=8, max_name_column_width=28))


profile_gpt()

# %% [markdown]
# Each row is an operation. **CPU total** includes the operations that it calls, **Self CPU** does not: only the self times add up to the whole.
# **# of Calls** tells a slow operation from one that is called too often. About half of the time here goes to matrix products (`mm`, `addmm`). Making a part twice as fast saves half of
# its share, and no more (Amdahl's law).
#
# **Change, predict, run.** `draw_rooflines(size=1)` stores all numbers in 8 bits; the peak stays. Which times change?
#
# <details><summary>What you should see</summary>
#
# On the left, those bound by memory: 1 row and 64 rows take half the time. With 512 and 4096 rows, nothing changes. (The right panel only varies by chance.)
# </details>
