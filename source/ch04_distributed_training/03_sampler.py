# %% [markdown]
# ## 4.3 Who reads what
#
# A training script runs on 8 processors. Each process shuffles the data set with `seed + rank` and reads an eighth of it. The loss falls, and no
# error appears. **Predict first:** which share of the data set has nobody read when the epoch ends: none, an eighth, a third?

# %% tags=["demo"]
def count_readers(n=100_000):
    for world_size in (2, 8, 64):
        times_read = torch.zeros(n, dtype=torch.int64)
        for rank in range(world_size):
            generator = torch.Generator().manual_seed(rank)
            times_read[torch.randperm(n, generator=generator)[: n // world_size]] += 1
        never, several = ((times_read == 0).double().mean(), (times_read > 1).double().mean())
        print(f"{world_size:2} processes: {never:.0%} of the samples read by nobody, {several:.0%} by several")


count_readers()

# %% [markdown]
# A third: $N$ independent choices of $n/N$ samples miss a sample with probability $(1 - 1/N)^N$, which tends to $1/e = 0.37$. Data parallelism trains **one** model:
# in an epoch, the ranks *together* read each sample once. So all of them need **the same order**, and each takes its own part of it.
#
# PyTorch's `DistributedSampler` draws the order from `seed + epoch`, and deals it out like cards ([manual](https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler)):
# with $N$ ranks, rank $r$ gets positions $r, r + N, r + 2N, \dots$
#
# Four things go wrong in practice:
#
# - **The epoch is not told.** Without `sampler.set_epoch(epoch)`, every epoch has the same order.
# - **The number of samples does not divide by $N$.** In training, some rank would have one step less, and the others would wait for it in an all-reduce for ever. So the order is **padded**:
#   its beginning is repeated.
# - **Padding in evaluation** counts samples twice, with 10 samples on 8 ranks 6 of them. Do not pad: add up correct answers and samples over all ranks, and divide once.
# - **A machine is lost in the middle of an epoch**, and training goes on with fewer ranks. If they shuffle again, some samples are read twice in the epoch, others never.
#
# Dealing out cards helps against the last. After some steps, all ranks together have read a **beginning of the order**, however many they are. So one number,
# `consumed`, says where to go on:
#
# ```text
# order      d  a  g  b  f  h  c  e          4 ranks read 1 sample each, then 2 ranks go on
# rank       0  1  2  3 | 0  1  0  1         consumed = 4
# ```
#
# With contiguous blocks (rank 0 reads `d a`, rank 1 `g b`, ...), the first step would have read `d g f c`: no beginning of anything.

# %% [markdown]
# ### Exercise 4.3 · A sampler that can be resumed
#
# > **Difficulty** ★☆☆☆ · **20 minutes** · **6 points** · Python and PyTorch
#
# **Write** one function. PyTorch's `DistributedSampler` is refused in the hidden checks.
#
# <details><summary>Hint 1: in which order?</summary>
#
# Four steps: deal out, pad, cut off what has been read, shuffle. Which comes first? What goes wrong if you pad before you cut?
# </details>
#
# <details><summary>Hint 2: two samples, eight ranks</summary>
#
# Two samples are read four times each, so `rest + rest[:missing]` is too short. Repeat often enough, then cut.
# </details>

# %% nbgrader={"grade": false, "grade_id": "sampler", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rank_indices(
    n: int,
    rank: int,
    world_size: int,
    epoch: int = 0,
    consumed: int = 0,
    seed: int = 0,
    pad: bool = True,
) -> list[int]:
    """The samples that one rank reads in what is left of an epoch, in order.

    The epoch's order is `torch.randperm(n)` with a new `torch.Generator` whose seed is
    seed + epoch. Of it, the first `consumed` samples have been read. What remains is padded and
    dealt out: the rank gets positions rank, rank + world_size, rank + 2 world_size, ... of it.

    Args:
        n: number of samples, 0 or more.
        rank: of the process, from 0 to world_size - 1.
        world_size: number of processes from now on. Before, it may have been a different one.
        epoch: 0 or more.
        consumed: how many samples of this epoch all ranks together have read, from 0 to n; padding not counted.
        seed: 0 or more, the same on all ranks.
        pad: True: the samples that remain are repeated from their beginning, as often as needed,
            until their number divides by world_size. So all ranks get equally many. If none
            remain, nobody gets any. False: nothing is repeated, and some ranks may get one less.

    Returns:
        Indices from 0 to n - 1, as a list of int. Global random generators are neither used nor
        changed.

    Raises:
        ValueError: rank or consumed is outside its range.

    >>> [sorted(rank_indices(6, rank, 2)) for rank in range(2)]  # the order is 2, 5, 3, 0, 1, 4
    [[1, 2, 3], [0, 4, 5]]
    """
    ### BEGIN SOLUTION
    if not 0 <= rank < world_size:
        raise ValueError("rank is not from 0 to world_size - 1")
    if not 0 <= consumed <= n:
        raise ValueError("consumed is not from 0 to n")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    rest = order[consumed:]
    if pad and rest:
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return rest[rank::world_size]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_sampler", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=6)
LIBRARY = ("torch.utils.data.distributed.DistributedSampler.__init__", "torch.utils.data.distributed.DistributedSampler.__iter__")


def torch_indices(n, rank, world_size, epoch=0, seed=0):
    """What torch's sampler gives this rank."""
    from torch.utils.data.distributed import DistributedSampler

    sampler = DistributedSampler(range(n), world_size, rank, shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def dealt(cases):
    """For each case (n, world_size, settings) the lists of all ranks, from the student's function."""
    def run(cases):
        with forbidden(*LIBRARY):
            return [[[int(i) for i in rank_indices(n, rank, world_size, **settings)] for rank in range(world_size)] for n, world_size, settings in cases]

    return probe(run, cases)


def collected(lists):
    """The cards in the order in which they were dealt: first of each rank, second of each, ..."""
    return [cards[step] for step in range(max(map(len, lists), default=0)) for cards in lists if step < len(cards)]


@check(points=0.5, hint="All ranks shuffle with the same seed: the rank has no part in it, the epoch has.")
def together_each_sample_once():
    """Three ranks together read each of 12 samples once, in a different order in each epoch."""
    orders = []
    for epoch in range(2):
        lists = [rank_indices(12, rank, 3, epoch=epoch) for rank in range(3)]
        assert None not in lists, "rank_indices returns None: is the return missing?"
        assert isinstance(lists[0], list), f"the result is a {type(lists[0]).__name__} and not a list"
        assert not any(torch.is_tensor(i) for indices in lists for i in indices), "the lists hold tensors and not int"
        read = sorted(i for indices in lists for i in indices)
        missing = sorted(set(range(12)) - set(read))
        assert not missing, f"in epoch {epoch}, nobody reads {missing}; the ranks read {lists}"
        assert read == list(range(12)), f"in epoch {epoch}, some samples are read several times; the ranks read {lists}"
        orders.append(lists)
    assert orders[0] != orders[1], f"epochs 0 and 1 have the same order: {orders[0]}"


@check(points=0.5, hint="The seed of the order is seed + epoch. Ten samples on four ranks need two more: the first two of the order.")
def deals_ten_to_four():
    """Ten samples on four ranks: each gets three, as from torch's sampler."""
    for rank in range(4):
        found, wanted = rank_indices(10, rank, 4, epoch=1), torch_indices(10, rank, 4, epoch=1)
        assert found == wanted, f"in epoch 1, rank {rank} gets {found} instead of {wanted}"


@check(points=0.5, hint="consumed counts the samples of all ranks together, from the beginning of the epoch's order. What comes behind them is dealt out.")
def goes_on_with_fewer_ranks():
    """Four ranks read two samples each; then two ranks read the other four of 12, each once."""
    before = [i for rank in range(4) for i in rank_indices(12, rank, 4)[:2]]
    after = [i for rank in range(2) for i in rank_indices(12, rank, 2, consumed=8)]
    twice, never = sorted(set(before) & set(after)), sorted(set(range(12)) - set(before) - set(after))
    assert not twice, f"read a second time after the restart: {twice}"
    assert not never, f"never read in this epoch: {never}"
    assert len(after) == 4, f"after the restart, {len(after)} samples are read instead of 4"


### BEGIN HIDDEN TESTS
@check(points=1.5, hint="The seed of the order is seed + epoch. Pad with the beginning of the order, several times if there are few samples; then deal out.")
def agrees_with_torch():
    """For any number of samples and ranks, also far fewer samples than ranks, the lists are those of torch's sampler."""
    cases = [(20, 4, {}), (21, 4, {"epoch": 3}), (23, 5, {"seed": 7}), (19, 3, {"epoch": 2, "seed": 5}), (17, 1, {"epoch": 1}), (2, 7, {}), (1, 5, {"epoch": 1}), (3, 8, {"seed": 2}), (8, 8, {"epoch": 4}), (31, 2, {})]
    for (n, world_size, settings), lists in zip(cases, dealt(cases), strict=True):
        wanted = [torch_indices(n, rank, world_size, **settings) for rank in range(world_size)]
        case = f"with {n} samples and {world_size} ranks" + (f", {' and '.join(settings)} given" if settings else "")
        if [len(indices) for indices in lists] != [len(indices) for indices in wanted]:
            fail(f"Some rank gets too few or too many samples {case}.")
        if lists != wanted:
            fail(f"The lists are not those of torch's sampler {case}.")


@check(points=1, hint="With pad=False nothing is repeated: each sample counts once in a metric.")
def evaluates_each_sample_once():
    """With pad=False, each sample is read once, in the order of the epoch, and the ranks' numbers differ by one at most."""
    cases = [(n, world_size, {"epoch": epoch, "seed": 3, "pad": False}) for n, world_size, epoch in [(10, 8, 0), (23, 4, 2), (2, 5, 0), (12, 4, 1), (0, 3, 0)]]
    for (n, world_size, settings), lists in zip(cases, dealt(cases), strict=True):
        read = [i for indices in lists for i in indices]
        if len(set(read)) < len(read):
            fail(f"A sample is read several times with {n} samples, {world_size} ranks and pad=False.")
        if sorted(read) != list(range(n)):
            fail(f"A sample is read by nobody with {n} samples, {world_size} ranks and pad=False.")
        if max(map(len, lists)) - min(map(len, lists)) > 1:
            fail("With pad=False, a rank gets two samples less than a different one.")
        if n and collected(lists) != torch_indices(n, 0, 1, epoch=settings["epoch"], seed=3):
            fail("With pad=False, the samples are not dealt out in the order of the epoch.")


@check(points=1.5, hint="Shuffle all n samples, as before the restart; cut off the consumed ones; only then pad, with samples that remain; and deal out to the new ranks.")
def none_lost_and_none_twice():
    """An epoch that is interrupted twice, with a different number of ranks each time: none is lost, none read twice, and padding comes from what remains."""
    epochs = [(40, [(4, 5), (3, 4), (2, None)], 1), (37, [(2, 3), (5, 2), (4, None)], 0), (30, [(8, 2), (6, 1), (16, None)], 2), (11, [(3, 1), (2, 2), (9, None)], 3), (24, [(4, 3), (4, 3), (7, None)], 0)]
    cases = []
    for n, parts, epoch in epochs:
        consumed = 0
        for world_size, steps in parts:
            cases += [(n, world_size, {"epoch": epoch, "seed": n, "consumed": consumed, "pad": pad}) for pad in (True, False)]
            consumed += world_size * (steps or 0)
    answers = iter(dealt(cases))
    for n, parts, epoch in epochs:
        order, consumed, read = torch_indices(n, 0, 1, epoch=epoch, seed=n), 0, []
        for world_size, steps in parts:
            lists, unpadded = next(answers), next(answers)
            rest, cards = order[consumed:], collected(lists)
            if len(set(map(len, lists))) > 1:
                fail("After a restart, padded lists differ in length.")
            if len(cards) != math.ceil(len(rest) / world_size) * world_size:
                fail("After a restart, the number of samples and of repeated ones is wrong.")
            if cards[: len(rest)] != rest:
                fail("After a restart, what remains is lost, read twice or dealt out in a different order.")
            if cards[len(rest) :] != [rest[i % len(rest)] for i in range(len(cards) - len(rest))]:
                fail("After a restart, the padding is not what remains, from its beginning.")
            if collected(unpadded) != rest:
                fail("After a restart, with pad=False, what remains is not dealt out once.")
            read += [i for indices in lists for i in indices[:steps]]
            consumed += world_size * (steps or 0)
        if set(read) != set(range(n)):
            fail("A sample is lost in an epoch that is interrupted twice.")
    if dealt([(9, 3, {"consumed": 9, "pad": pad}) for pad in (True, False)]) != [[[], [], []]] * 2:
        fail("Where all samples have been read, some rank gets a sample.")


@check(points=0.25, hint="Make a new torch.Generator in each call, and keep nothing between calls.")
def uses_no_other_generator():
    """Global random generators have no part in it and stay as they are."""
    def run():
        import random

        state = lambda: (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])
        found, same = [], True
        for seed in (1, 2):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            before = state()
            found.append([[int(i) for i in rank_indices(13, rank, 2, epoch=seed_)] for seed_ in (0, 1, 0) for rank in (1, 0)])
            same &= state() == before
        return found, same

    found, same = probe(run)
    if not same:
        fail("A global random generator is changed.")
    if found[0] != found[1] or found[0][:2] != found[0][4:]:
        fail("The same arguments give different indices, when global generators are seeded differently or other epochs come between.")


@check(points=0.25, hint="Ranks count from 0 to world_size - 1.")
def refuses_what_is_out_of_range():
    """A rank or a number of consumed samples out of range is a ValueError."""
    def run(cases):
        refused = []
        for n, rank, world_size, consumed in cases:
            try:
                rank_indices(n, rank, world_size, consumed=consumed)
            except ValueError:
                refused.append(True)
            else:
                refused.append(False)
        return refused

    names = ["rank = world_size", "rank = world_size + 3", "rank = -1", "consumed = n + 1", "consumed = -1"]
    for name, refused in zip(names, probe(run, [(8, 4, 4, 0), (8, 7, 4, 0), (8, -1, 4, 0), (8, 0, 4, 9), (8, 0, 4, -1)]), strict=True):
        if not refused:
            fail(f"No ValueError with {name}.")
    if probe(run, [(8, 3, 4, 0), (8, 0, 4, 8), (0, 0, 1, 0)]) != [False] * 3:
        fail("A ValueError, although rank and consumed are in their ranges.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### One epoch, twice
#
# Your function deals out an epoch of 22 samples: above, to four ranks; below, one of them is lost after two steps. **Predict first:** how many readings are padding in each?

# %% tags=["demo", "raises-exception"]
def draw_epoch(n=22, first=4, steps=2, then=3, epoch=0):
    try:
        whole = [(0, [rank_indices(n, rank, first, epoch) for rank in range(first)])]
        before = [indices[:steps] for indices in whole[0][1]]
        after = [rank_indices(n, rank, then, epoch, consumed=first * steps) for rank in range(then)]
    except NotImplementedError:
        print("This figure is made by rank_indices. Write it first.")
        return
    order = {sample: position for position, sample in enumerate(rank_indices(n, 0, 1, epoch))}
    fig, axes = plt.subplots(2, 1, figsize=(9, 4.4), sharex=True, layout="constrained")
    panels = [(f"{first} ranks", whole), (f"{first} ranks, then {then}, from step {steps} on", [(0, before), (steps, after)])]
    for ax, (title, parts) in zip(axes, panels, strict=True):
        read, repeated = set(), 0
        for start, lists in parts:
            for step in range(max(map(len, lists))):
                for rank, indices in enumerate(lists):
                    sample = indices[step]
                    again = sample in read
                    read.add(sample)
                    repeated += again
                    colour = "white" if again else plt.cm.viridis(0.25 + 0.7 * order[sample] / n)
                    ax.add_patch(plt.Rectangle((start + step + 0.04, rank + 0.06), 0.92, 0.88, fc=colour, ec="C5" if again else "none", lw=1.6))
                    ax.text(start + step + 0.5, rank + 0.5, str(sample), ha="center", va="center", fontsize=9.5, color="C5" if again else "black" if order[sample] > 0.3 * n else "white")
        ax.set(title=f"{title}: {len(read)} of {n} samples read, {repeated} {'reading' if repeated == 1 else 'readings'} of padding", ylabel="rank", ylim=(max(len(lists) for _, lists in parts), 0))
        most = max(len(lists) for _, lists in parts)
        ax.set_yticks([rank + 0.5 for rank in range(most)], labels=[str(rank) for rank in range(most)])
        ax.grid(False)
    last = max(start + max(map(len, lists)) for _, parts in panels for start, lists in parts)
    axes[1].set(xlabel="step (colour: place in the epoch's order; red frame: padding)", xlim=(0, last))
    axes[1].set_xticks([step + 0.5 for step in range(last)], labels=[str(step) for step in range(last)])
    plt.show()


draw_epoch()

# %% [markdown]
# The colours run from dark to light in both: the epoch's order stays, whoever reads. Four ranks repeat two samples. After the loss, 14 remain for three ranks, and one is repeated.
#
# Megatron-LM keeps such a number in each checkpoint (`consumed_train_samples`): of samples, not of steps, since a step depends on the number of ranks. So does the **global batch**: with
# the same batch on each rank, fewer ranks make a smaller one. Lower the learning rate then, as a rule in proportion (Goyal et al., arXiv:1706.02677).
#
# **Change, predict, run.** `draw_epoch(n=6, steps=1, then=8)`: after one step of four ranks, eight go on. How many samples are read more than once?
#
# <details><summary>Answer</summary>
#
# Two remain, and eight ranks need eight: the two are read four times each. Six of these eight readings are padding.
# </details>
