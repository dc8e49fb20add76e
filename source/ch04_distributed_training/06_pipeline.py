# %% [markdown]
# ## 4.6 Pipeline
#
# Four processors hold 20 of a network's 80 layers each: four **stages**. A batch goes through stage 0, then stage 1, and so on; then the gradients come
# back. Each stage needs what its neighbour has computed, so only one works at a time: four processors take as long as one would.
#
# So the batch is cut into **micro-batches**. When the first has left stage 0, the second enters. The idle time that is left is the **bubble**. Two schedules are common:
#
# - **GPipe** (Huang et al., arXiv:1811.06965): all forward passes, then all backward passes.
# - **1F1B**, "one forward, one backward" (Narayanan et al., arXiv:2006.09503, there *PipeDream-Flush*): each stage goes back as soon as it can, then forward and back in turn.
#
# **Predict first:** with four equal stages and eight micro-batches, which share of the time is idle with GPipe? And with 1F1B: less, the same, more?
#
# Look at the last of $p$ stages. It waits while the first micro-batch goes through $p - 1$ stages, works without a pause for all $m$ micro-batches, and waits again while the last gradient goes back through
# $p - 1$ stages. If the passes take $f$ and $b$ seconds, that is $(m + p - 1)(f + b)$ seconds altogether, and work for $m (f + b)$ of them. With either schedule, the idle share is
#
# $$\frac{p - 1}{m + p - 1} ,$$
#
# here $3/11$. (Narayanan et al., arXiv:2104.04473, give $(p-1)/m$: idle time divided by *useful* time.)
#
# So what is 1F1B good for? **Memory.** Between the two passes of a micro-batch, a stage keeps its activations (section 3.3): with GPipe those of all $m$, with 1F1B those of at most $p - s$ at stage $s$. So
# $m$ can grow, and with it the bubble shrinks.

# %% nbgrader={"grade": false, "grade_id": "setup_pipeline", "locked": true, "schema_version": 3, "solution": false, "task": false}
from dataclasses import dataclass
from itertools import accumulate

Operation = tuple[str, int]  # ("F", i) or ("B", i): the forward or the backward pass of micro-batch i


@dataclass
class Timeline:
    """How a schedule runs.

    Attributes:
        starts: for each stage, when each of its operations begins, in the schedule's order.
        idle: share of the time, over all stages, in which nothing is computed.
        peaks: for each stage, the largest number of micro-batches whose activations it keeps at
            the same time.
    """

    starts: list[list[int]]
    idle: float
    peaks: list[int]


# %% [markdown]
# ### Exercise 4.6 · Two schedules and a clock
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **8 points** · Python
#
# **Write** three functions: two make schedules, one runs any schedule on a clock, also with unequal stages, where the formula does not hold.
#
# <details><summary>Hint 1: 1F1B is a rule, not a pattern</summary>
#
# Count what the stage keeps: one more with each `F`, one less with each `B`. The rule in the docstring then makes the list.
# </details>
#
# <details><summary>Hint 2: simulate</summary>
#
# Keep a dictionary of ends, and how far each stage has got. Go over the stages again and again. If a stage's next operation has all that it needs, it begins at
# the latest of these ends and the stage's own last end.
# </details>
#
# <details><summary>Hint 3: a deadlock</summary>
#
# If a round over all stages gets nothing done, no other round will.
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gpipe(n_stages: int, n_micro: int) -> list[list[Operation]]:
    """GPipe: each stage does all forward passes, then all backward passes.

    Args:
        n_stages: 1 or more.
        n_micro: number of micro-batches, 1 or more.

    Returns:
        For each stage its operations in order; micro-batches 0, 1, ... in both passes.

    >>> gpipe(1, 2)
    [[('F', 0), ('F', 1), ('B', 0), ('B', 1)]]
    """
    ### BEGIN SOLUTION
    return [[(kind, i) for kind in "FB" for i in range(n_micro)] for _ in range(n_stages)]
    ### END SOLUTION


def one_f_one_b(n_stages: int, n_micro: int) -> list[list[Operation]]:
    """1F1B: as soon as a stage keeps enough activations, it goes back.

    Stage s (0 is the first) keeps the activations of at most n_stages - s micro-batches. Its next operation is
    a forward pass if that allows one and if one is left, and a backward pass otherwise.

    Args:
        n_stages: 1 or more.
        n_micro: number of micro-batches, 1 or more; it may be smaller than n_stages.

    Returns:
        For each stage its operations in order; micro-batches 0, 1, ... in both passes.

    >>> one_f_one_b(2, 2)
    [[('F', 0), ('F', 1), ('B', 0), ('B', 1)], [('F', 0), ('B', 0), ('F', 1), ('B', 1)]]
    """
    ### BEGIN SOLUTION
    schedule = []
    for stage in range(n_stages):
        operations, forward, backward = [], 0, 0
        while backward < n_micro:
            if forward - backward < n_stages - stage and forward < n_micro:
                operations.append(("F", forward))
                forward += 1
            else:
                operations.append(("B", backward))
                backward += 1
        schedule.append(operations)
    return schedule
    ### END SOLUTION


def simulate(schedule: list[list[Operation]], forward: list[int], backward: list[int]) -> Timeline:
    """Runs a schedule on a simulated clock.

    Stage s does its operations one at a time, in the order of schedule[s], each as early as
    possible. ("F", i) needs the end of ("F", i) at stage s - 1; ("B", i) needs the end of ("F", i) at
    the same stage and of ("B", i) at stage s + 1. The first stage's forward and the last stage's
    backward passes need nothing of other stages. Sending takes no time. From the beginning of ("F", i)
    to the end of ("B", i), or to the end of all if there is no ("B", i), the stage keeps the
    activations of micro-batch i. At equal times, an end counts before a beginning.

    Args:
        schedule: for each stage a list of operations, none of them twice; a list may be empty (the
            stage is idle throughout), not all. It need not come from the functions above. Not modified.
        forward, backward: for each stage, the seconds that a pass takes; 1 or more.

    Returns:
        The timeline. Time begins at 0. It ends, for all stages, with the last operation of all; idle is
        counted over this time.

    Raises:
        ValueError: an operation can never begin, because operations wait for each other, or for
            one that is in no list.

    >>> simulate([[("F", 0), ("B", 0)], [("F", 0), ("B", 0)]], [1, 1], [2, 2])
    Timeline(starts=[[0, 4], [1, 2]], idle=0.5, peaks=[1, 1])
    """
    ### BEGIN SOLUTION
    n_stages, seconds = len(schedule), {"F": forward, "B": backward}
    ends: dict[tuple[int, str, int], int] = {}
    starts: list[list[int]] = [[] for _ in schedule]
    free = [0] * n_stages  # when each stage has done what it has begun
    left = sum(map(len, schedule))
    while left:
        before = left
        for stage, operations in enumerate(schedule):
            while len(starts[stage]) < len(operations):
                kind, i = operations[len(starts[stage])]
                needs = [(stage, "F", i)] if kind == "B" else []
                neighbour = stage - 1 if kind == "F" else stage + 1
                if 0 <= neighbour < n_stages:
                    needs.append((neighbour, kind, i))
                if any(need not in ends for need in needs):
                    break
                start = max([free[stage], *(ends[need] for need in needs)])
                free[stage] = ends[stage, kind, i] = start + seconds[kind][stage]
                starts[stage].append(start)
                left -= 1
        if left == before:
            raise ValueError("some operations wait for ever")
    busy = sum(seconds[kind][stage] for stage, operations in enumerate(schedule) for kind, _ in operations)
    peaks = []
    for operations in schedule:
        kept = accumulate({"F": 1, "B": -1}[kind] for kind, _ in operations)
        peaks.append(max(kept, default=0))
    return Timeline(starts, 1 - busy / (n_stages * max(free)), peaks)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_pipeline", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=8)


def spelled(operations):
    """As in "F0 F1 B0 B1"."""
    return " ".join(f"{kind}{i}" for kind, i in operations)


@check(points=0.5, hint="All forward passes, then all backward passes, on every stage.")
def gpipe_by_hand():
    """GPipe with two stages and three micro-batches is F0 F1 F2 B0 B1 B2 on both."""
    schedule = gpipe(2, 3)
    assert schedule is not None, "gpipe returns None: is the return missing?"
    assert len(schedule) == 2, f"{len(schedule)} lists instead of 2: one for each stage"
    for stage, operations in enumerate(schedule):
        assert spelled(operations) == "F0 F1 F2 B0 B1 B2", f"stage {stage} does {spelled(operations)} instead of F0 F1 F2 B0 B1 B2"


@check(points=0.5, hint="Stage 0 of three may keep three, stage 1 two, stage 2 one. At the limit, and when no forward pass is left, it goes back.")
def one_f_one_b_by_hand():
    """1F1B with three stages and four micro-batches: the first stage begins with three forward passes, the last with one."""
    schedule = one_f_one_b(3, 4)
    assert schedule is not None, "one_f_one_b returns None: is the return missing?"
    assert len(schedule) == 3, f"{len(schedule)} lists instead of 3: one for each stage"
    for stage, wanted in enumerate(["F0 F1 F2 B0 F3 B1 B2 B3", "F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"]):
        assert spelled(schedule[stage]) == wanted, f"stage {stage} does {spelled(schedule[stage])} instead of {wanted}"


def timelines(cases):
    """What simulate says of each case, as plain data."""
    def run(cases):
        def work(rank, world_size):  # in a process of its own, which is ended after a few seconds
            answers = []
            for schedule, forward, backward in cases:
                found = simulate([[(kind, i) for kind, i in operations] for operations in schedule], list(forward), list(backward))
                answers.append(found and ([[int(start) for start in row] for row in found.starts], float(found.idle), [int(peak) for peak in found.peaks]))
            return answers

        try:
            return run_ranks(work, 1, seconds=4)[0]
        except TimeoutError:
            return None

    answers = probe(run, cases)
    if answers is None:
        fail("simulate does not come back within 4 seconds.")
    return answers


@check(points=1, hint="A forward pass waits for the stage before, a backward pass for the stage behind. Idle: divide by the number of stages times the time until everything has ended.")
def two_unequal_stages_by_hand():
    """Two stages, the second twice as slow, two micro-batches: beginnings, idle share and peaks."""
    one, two = [("F", 0), ("F", 1), ("B", 0), ("B", 1)], [("F", 0), ("B", 0), ("F", 1), ("B", 1)]
    found = timelines([([one, two], [1, 2], [2, 4])])[0]
    assert found is not None, "simulate returns None: is the return missing?"
    starts, idle, peaks = found
    # Stage 1: F0 1-3, B0 3-7, F1 7-9, B1 9-13. Stage 0: F0 0-1, F1 1-2, B0 7-9, B1 13-15.
    assert starts[0] == [0, 1, 7, 13], f"stage 0 begins at {starts[0]} instead of [0, 1, 7, 13]"
    assert starts[1] == [1, 3, 7, 9], f"stage 1 begins at {starts[1]} instead of [1, 3, 7, 9]"
    assert abs(idle - 0.4) < 1e-9, f"the idle share is {idle:.4f} instead of 0.4: both stages together work for 18 of 2 · 15 seconds"
    assert peaks == [2, 1], f"the peaks are {peaks} instead of [2, 1]"


### BEGIN HIDDEN TESTS
def second_by_second(schedule, forward, backward):
    """The timeline, by looking at every stage in every second; None if nothing happens any more."""
    starts = [[] for _ in schedule]
    done, running, kept, peaks = set(), {}, [0] * len(schedule), [0] * len(schedule)
    now, worked = 0, 0
    while True:
        for stage, (end, operation) in list(running.items()):
            if end == now:
                done.add((stage, *operation))
                kept[stage] -= operation[0] == "B"
                del running[stage]
        for stage, operations in enumerate(schedule):
            if stage in running or len(starts[stage]) == len(operations):
                continue
            kind, i = operations[len(starts[stage])]
            if kind == "F":
                ready = stage == 0 or (stage - 1, "F", i) in done
            else:
                ready = (stage, "F", i) in done and (stage == len(schedule) - 1 or (stage + 1, "B", i) in done)
            if ready:
                starts[stage].append(now)
                kept[stage] += kind == "F"
                peaks[stage] = max(peaks[stage], kept[stage])
                running[stage] = now + (forward if kind == "F" else backward)[stage], (kind, i)
        if not running:
            break
        worked += len(running)
        now += 1
    if any(len(row) < len(operations) for row, operations in zip(starts, schedule, strict=True)):
        return None
    return starts, 1 - worked / (now * len(schedule)), peaks


def by_policy(n_stages, n_micro):
    """1F1B as it comes about in time: whoever is free goes back if a gradient is there, and forward if there is room."""
    lists, done = [[] for _ in range(n_stages)], set()
    while sum(map(len, lists)) < 2 * n_stages * n_micro:
        began = []
        for stage, operations in enumerate(lists):
            forward, backward = (sum(kind == wanted for kind, _ in operations) for wanted in "FB")
            if (stage, "F", backward) in done and (stage == n_stages - 1 or (stage + 1, "B", backward) in done):
                began.append((stage, "B", backward))
            elif forward < n_micro and forward - backward < n_stages - stage and (stage == 0 or (stage - 1, "F", forward) in done):
                began.append((stage, "F", forward))
        for stage, kind, i in began:
            lists[stage].append((kind, i))
        done |= set(began)
    return lists


SIZES = [(1, 1), (1, 4), (2, 5), (3, 3), (3, 10), (4, 8), (5, 2), (6, 1), (7, 6), (8, 20)]


def schedules(kind):
    """What the student's function of that name makes, for each of SIZES."""
    def run(kind, sizes):
        def work(rank, world_size):
            make = {"gpipe": gpipe, "one_f_one_b": one_f_one_b}[kind]
            return [[[(str(name), int(i)) for name, i in operations] for operations in make(*size)] for size in sizes]

        try:
            return run_ranks(work, 1, seconds=4)[0]
        except TimeoutError:
            return None

    made = probe(run, kind, SIZES)
    if made is None:
        fail(f"{kind} does not come back within 4 seconds.")
    return made


@check(points=1, hint="Each stage has a list of its own, with 2 · n_micro operations, whatever the numbers are.")
def gpipe_of_any_size():
    """GPipe, for any number of stages and micro-batches: each stage keeps all, and the bubble is as the formula says."""
    for (p, m), schedule in zip(SIZES, schedules("gpipe"), strict=True):
        if len(schedule) != p or any(operations != [("F", i) for i in range(m)] + [("B", i) for i in range(m)] for operations in schedule):
            fail(f"Some stage's list is wrong with {p} stages and {m} micro-batches.")


@check(points=1.5, hint="The limit is n_stages - s for stage s. With fewer micro-batches than that, the forward passes are over before it is reached.")
def one_f_one_b_of_any_size():
    """1F1B, for any number of stages and micro-batches, also fewer micro-batches than stages: nothing deadlocks, few activations are kept, the bubble is GPipe's."""
    for (p, m), schedule in zip(SIZES, schedules("one_f_one_b"), strict=True):
        where = f"with {p} stages and {m} micro-batches"
        if len(schedule) != p or any(sorted(operations) != sorted((kind, i) for kind in "FB" for i in range(m)) for operations in schedule):
            fail(f"Some stage does not do every pass once {where}.")
        run = second_by_second(schedule, [1] * p, [2] * p)
        if run is None:
            fail(f"The stages wait for each other for ever {where}.")
        _, idle, peaks = run
        if peaks != [min(m, p - stage) for stage in range(p)]:
            fail(f"Some stage keeps too many activations, or too few, {where}.")
        if abs(idle - (p - 1) / (m + p - 1)) > 1e-9:
            fail(f"The stages are idle for longer than necessary {where}.")
        if schedule != by_policy(p, m):
            fail(f"The order is wrong {where}.")


def some_schedule(seed, n_stages, n_micro, backward_too=True):
    """Operations in a random order that can be carried out."""
    generator = np.random.default_rng(seed)
    done, lists = set(), [[] for _ in range(n_stages)]
    left = [(stage, kind, i) for stage in range(n_stages) for kind in ("FB" if backward_too else "F") for i in range(n_micro)]
    while left:
        stage, kind, i = left[generator.integers(len(left))]
        needs = {(stage, "F", i)} if kind == "B" else set()
        neighbour = stage - 1 if kind == "F" else stage + 1
        if 0 <= neighbour < n_stages:
            needs.add((neighbour, kind, i))
        if needs <= done:
            done.add((stage, kind, i))
            left.remove((stage, kind, i))
            lists[stage].append((kind, i))
    return lists


@check(points=2, hint="An operation begins at the latest of three times: the stage's last end, the end at the neighbour, and for B the end of its own F. Kept are forward passes begun, less backward passes ended.")
def any_schedule_runs_as_second_by_second():
    """Any schedule with any durations runs as in a simulation second by second: beginnings, idle share and peaks."""
    generator = np.random.default_rng(Checks.seed_for("durations"))
    cases = []
    for n, (p, m) in enumerate([(1, 1), (1, 3), (2, 4), (3, 5), (4, 4), (5, 3), (4, 8), (3, 2), (2, 6)]):
        forward, backward = ([int(t) for t in generator.integers(1, 7, p)] for _ in range(2))
        cases.append(("a random order", some_schedule(n, p, m), forward, backward))
        cases.append(("1F1B", by_policy(p, m), forward, backward))
    backwards_last_first = [[("F", i) for i in range(4)] + [("B", i) for i in reversed(range(4))]] * 3
    cases.append(("the newest backward pass first", backwards_last_first, [2, 1, 3], [1, 5, 2]))
    cases.append(("forward passes only", some_schedule(77, 3, 5, backward_too=False), [1, 4, 2], [1, 1, 1]))
    cases.append(("an empty list and numbers with gaps", [[("F", 4), ("F", 2)], []], [3, 1], [1, 1]))
    cases.append(("what begins last ending before the end", [[("F", 0), ("F", 1), ("F", 2)], [("F", 0)]], [2, 10], [1, 1]))
    for (kind, schedule, forward, backward), found in zip(cases, timelines([case for _, *case in cases]), strict=True):
        starts, idle, peaks = second_by_second(schedule, forward, backward)
        equal = len(set(forward)) == len(set(backward)) == 1
        where = f"for {len(schedule)} {'equal' if equal else 'unequal'} stages with {kind}"
        if found is None or found[0] != starts:
            fail(f"Some operation begins too early or too late {where}.")
        if abs(found[1] - idle) > 1e-9:
            fail(f"The beginnings are correct, the idle share is not, {where}.")
        if found[2] != peaks:
            fail(f"The beginnings are correct, a stage's peak is not, {where}.")


@check(points=1, hint="If no stage can go on and operations are left, raise ValueError. An operation that is in no list will never end.")
def waiting_for_ever_is_an_error():
    """Schedules that cannot be carried out are a ValueError, within seconds; those that can are none."""
    one, two = [("F", 0), ("F", 1), ("B", 0), ("B", 1)], [("F", 0), ("B", 0), ("F", 1), ("B", 1)]
    cases = [
        ("that wait for each other", [two, one], True),
        ("that go back before they have gone forward", [[("B", 0), ("F", 0)]], True),
        ("one of which misses a forward pass", [one, [("F", 0), ("B", 0), ("B", 1)]], True),
        ("one of which misses a backward pass", [one, [("F", 0), ("F", 1), ("B", 1)]], True),
        ("that only go back", [[("B", 0)], [("B", 0)]], True),
        ("in order", [one, two], False),
        ("without backward passes", [[("F", 1)], [("F", 1)]], False),
    ]

    def run(lists):
        def work(rank, world_size):
            answers = []
            for schedule in lists:
                try:
                    simulate([[(kind, i) for kind, i in operations] for operations in schedule], [1] * len(schedule), [1] * len(schedule))
                except ValueError:
                    answers.append(True)
                else:
                    answers.append(False)
            return answers

        try:
            return run_ranks(work, 1, seconds=4)[0]
        except TimeoutError:
            return None

    refused = probe(run, [schedule for _, schedule, _ in cases])
    if refused is None:
        fail("simulate does not come back, within 4 seconds, from schedules that cannot be carried out.")
    for (name, _, wanted), found in zip(cases, refused, strict=True):
        if found != wanted:
            fail(f"{'No' if wanted else 'A'} ValueError for stages {name}.")


@check(points=0.5, hint="Copy what you want to take operations out of; keep nothing between calls.")
def leaves_the_schedule_alone():
    """The schedule that is passed in stays as it is, and a second call gives the same."""
    def run():
        schedule, forward, backward = [[("F", 0), ("F", 1), ("B", 0), ("B", 1)], [("F", 0), ("B", 0), ("F", 1), ("B", 1)]], [1, 2], [3, 1]
        found = [simulate(schedule, forward, backward) for _ in range(2)]
        first = one_f_one_b(3, 4)
        lengths = [len(operations) for operations in gpipe(2, 3)]
        return [(t.starts, float(t.idle), t.peaks) for t in found], schedule, forward, backward, first == one_f_one_b(3, 4), lengths == [len(operations) for operations in gpipe(2, 3)]

    found, schedule, forward, backward, *same = probe(run)
    if schedule != [[("F", 0), ("F", 1), ("B", 0), ("B", 1)], [("F", 0), ("B", 0), ("F", 1), ("B", 1)]] or (forward, backward) != ([1, 2], [3, 1]):
        fail("simulate changes what is passed in.")
    if found[0] != found[1] or not all(same):
        fail("The same call gives something else the second time.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### The two, side by side
#
# Your functions, on four stages and eight micro-batches; a forward pass takes one second, a backward pass two. **Predict:** when does stage 0 wait in each?

# %% tags=["demo", "raises-exception"]
def draw_pipeline(n_stages=4, n_micro=8, forward=None, backward=None):
    forward, backward = forward or [1] * n_stages, backward or [2] * n_stages
    try:
        panels = []
        for name, make in [("GPipe", gpipe), ("1F1B", one_f_one_b)]:
            schedule = make(n_stages, n_micro)
            panels.append((name, schedule, simulate(schedule, forward, backward)))
        table = [(m, *(simulate(make(n_stages, m), forward, backward) for make in (gpipe, one_f_one_b))) for m in (1, 4, 8, 16, 64)]
    except NotImplementedError:
        print("These figures are made by your three functions. Write them first.")
        return
    _, axes = plt.subplots(2, 1, figsize=(9.7, 4.4), sharex=True, layout="constrained")
    for ax, (name, schedule, timeline) in zip(axes, panels, strict=True):
        for stage, operations in enumerate(schedule):
            for (kind, i), start in zip(operations, timeline.starts[stage], strict=True):
                duration = (forward if kind == "F" else backward)[stage]
                ax.add_patch(plt.Rectangle((start, stage + 0.05), duration, 0.9, fc="C0" if kind == "F" else "C1", ec="white", lw=1))
                ax.text(start + duration / 2, stage + 0.5, str(i), ha="center", va="center", fontsize=8, color="white" if kind == "F" else "black")
        ax.set(title=f"{name}: idle {timeline.idle:.1%}, activations kept at most {', '.join(map(str, timeline.peaks))}", ylabel="stage", ylim=(n_stages, 0))
        ax.set_yticks([stage + 0.5 for stage in range(n_stages)], labels=[str(stage) for stage in range(n_stages)])
        ax.set_xlim(0, max(t.starts[0][-1] for *_, t in panels) + backward[0])
        ax.grid(False)
    axes[1].set_xlabel("seconds (blue: forward, orange: backward; the number is the micro-batch)")
    plt.show()
    for m, one, two in table:
        print(f"m = {m:2}: idle {one.idle:.3f} and {two.idle:.3f}, kept at stage 0: {one.peaks[0]} and {two.peaks[0]}")


draw_pipeline()

# %% [markdown]
# Both are idle for the same 27 %, and end at the same second. GPipe keeps all eight micro-batches everywhere; 1F1B keeps four at the first stage and one at the last, and no more if there are 64. *"1F1B makes the
# bubble smaller"*: only if the saved memory is spent on more micro-batches.
#
# *"Model parallelism trains the parts separately, which reduces communication."* The parts share **one** backward pass: each needs the gradient from the next. And at each cut, every token's
# activations go forward, and as many numbers come back. With a width of 4,096 in 16 bits, a step on 4 million tokens sends 33 GB each way across every cut; 7 billion parameters have 14 GB of gradients to
# all-reduce. Which is less depends on the batch.
#
# ### PyTorch's own
#
# `torch.distributed.pipelining` has these schedules. Here four ranks are four stages. A loss is the mean over a micro-batch, so the sum of the gradients is $m$ times too large; the schedule divides
# it (`scale_grads=True`).

# %% tags=["demo", "shown"]
def pipelined(rank, world_size, n_micro=8):
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B

    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16)) for _ in range(world_size)]
    network = nn.Sequential(*layers).double()  # the whole network, only to compare with
    inputs, targets = torch.randn(2, 32, 16, dtype=torch.float64)

    stage = PipelineStage(copy.deepcopy(network[rank]), rank, world_size, torch.device("cpu"))
    schedule = Schedule1F1B(stage, n_micro, loss_fn=F.mse_loss)
    if rank == 0:
        schedule.step(inputs)
    elif rank == world_size - 1:
        schedule.step(target=targets)
    else:
        schedule.step()

    F.mse_loss(network(inputs), targets).backward()
    mine, truth = stage.submod.parameters(), network[rank].parameters()
    return max((a.grad - b.grad).abs().max().item() for a, b in zip(mine, truth, strict=True)) < 1e-15


print("gradients equal those of one process, within 1e-15, at each stage:", run_ranks(pipelined, 4))

# %% [markdown]
# **Change, predict, run.** Let the last stage be twice as slow, because it has the output layer: `draw_pipeline(forward=[1, 1, 1, 2], backward=[2, 2, 2, 4])`. How much is idle now? Does it help to use more micro-batches?
#
# <details><summary>Answer</summary>
#
# 47 % at eight micro-batches, 43 % at 16, 39 % at 64. The slow stage takes 6 seconds for each micro-batch, the others 3, so the share cannot fall below
# $1 - (3 + 3 + 3 + 6) / (4 \cdot 6) = 3/8$: make the stages equal first.
# </details>
