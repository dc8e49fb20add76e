# %% [markdown]
# ## 4.1 All-reduce in a ring
#
# Every step of data-parallel training needs an all-reduce: each of $N$ ranks holds a gradient of $n$ bytes, and each needs the sum. The obvious way is to send everything to one rank, the **root**, which adds and sends the sum back. The root then
# receives $(N - 1)\,n$ bytes and sends as many: it becomes slower with every rank that joins.
#
# A **ring** shares this work. Each rank sends only to the next one, rank $(r + 1) \bmod N$, and receives only from the one before. The tensor is cut into $N$ chunks.
#
# 1. **Reduce-scatter**, $N - 1$ steps: in each, a rank sends one chunk on, and adds the chunk that it receives to its own. Afterwards each rank holds *one* chunk of the sum, complete.
# 2. **All-gather**, $N - 1$ steps: the complete chunks travel around the ring, and each rank keeps a copy.
#
# **Predict:** which chunk must rank $r$ send first, if it is to hold the complete chunk $(r + 1) \bmod N$ after the first phase? The picture shows, for four ranks, how many terms each chunk's sum has after each step.

# %% tags=["demo"]
def draw_ring(n=4):
    before = np.array([np.roll(np.arange(n)[::-1], rank + 1) for rank in range(n)])  # of each rank's chunk: how many ranks before this one have a term in it
    frames = [(f"reduce-scatter {step}" if step else "start", np.where(before <= step, before + 1, 1)) for step in range(n)]
    frames += [(f"all-gather {step}", np.where(before < step, n, before + 1)) for step in range(1, n)]
    _, axes = plt.subplots(1, len(frames), figsize=(11, 2.3))
    for ax, (title, counts) in zip(axes, frames, strict=True):
        ax.imshow(counts, vmin=0, vmax=n, cmap="Blues")
        for rank in range(n):
            for chunk in range(n):
                ax.text(chunk, rank, counts[rank, chunk], ha="center", va="center", color="white" if counts[rank, chunk] > n / 2 else "black")
        ax.set_title(title, fontsize=9)
        ax.set(xticks=range(n), yticks=range(n) if ax is axes[0] else [], xlabel="chunk")
        ax.grid(False)
    axes[0].set_ylabel("rank")
    plt.show()


draw_ring()

# %% [markdown]
# Each rank sends one chunk a step, $2(N - 1)$ chunks of $n / N$ bytes:
#
# $$\text{bytes sent by each rank} = 2\,\frac{N - 1}{N}\,n .$$
#
# That is less than $2n$, for any number of ranks, and in no algorithm does the busiest rank send less (Patarasuk and Yuan, *Bandwidth optimal all-reduce algorithms for clusters of workstations*, J. Parallel Distrib. Comput. 69, 2009). The price is the number of steps: $2(N - 1)$ messages, one
# after the other. For short tensors the waiting costs more than the bytes, so libraries have trees, too (NCCL's documentation, `NCCL_ALGO`).
#
# ### Sending without waiting
#
# `dist.send` returns when the tensor has been handed over. In a ring, all ranks would call it at the same time, and none would receive: a deadlock. With gloo that happens even for a single number. `dist.isend` and `dist.irecv` return at once, with a **request**; `request.wait()` returns when the transfer is
# done. Until then the tensor belongs to the library: whoever changes a tensor that is being sent may send the changed one.
#
# | | may read | may write |
# |---|---|---|
# | tensor of `isend`, before `wait()` | yes | no |
# | tensor of `irecv`, before `wait()` | no | no |

# %% [markdown]
# ### Exercise 4.1 · Ring all-reduce
#
# > **Difficulty** ★★★☆ · **50 minutes** · **11 points** · PyTorch
#
# **Write** `ring_all_reduce` from `send`, `recv`, `isend`, `irecv` or `batch_isend_irecv`. All collectives are blocked during grading, and what each rank sends is counted.
#
# <details><summary>Hint: chunks</summary>
#
# `torch.chunk` may return fewer chunks than you ask for: five elements in four chunks are 2, 2 and 1. `torch.tensor_split` always returns as many as you ask for; some may be empty, and gloo sends empty tensors.
# </details>
#
# <details><summary>Hint: which chunk?</summary>
#
# In step $s = 0, 1, \dots$ of the first phase, rank $r$ sends chunk $r - s$ and receives chunk $r - s - 1$ (modulo $N$). In the second phase it sends chunk $r + 1 - s$ and receives chunk $r - s$.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ring_all_reduce", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ring_all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of all ranks' tensors, by messages around a ring. All ranks of the default group call it.

    There are N ranks, 1 or more. Each sends to the next rank only, and at most 2 (N - 1) ceil(L / N)
    elements of a tensor with L elements. A chunk is summed up once, in the tensor's type, then copied.

    Args:
        tensor: of any shape, contiguous or not, also with fewer elements than ranks, or with none; of
            any floating-point or whole-number type that torch can add. Shape and type are the same
            on all ranks. It needs no gradient, and is not changed.

    Returns:
        A new tensor of that shape and type, in memory of its own, with the same bits on all ranks.

    >>> run_ranks(lambda rank, world_size: ring_all_reduce(torch.tensor([1, rank])), 3)
    [tensor([3, 3]), tensor([3, 3]), tensor([3, 3])]
    """
    ### BEGIN SOLUTION
    rank, n = dist.get_rank(), dist.get_world_size()
    total = tensor.clone(memory_format=torch.contiguous_format)
    chunks = total.view(-1).tensor_split(n)
    after, before = (rank + 1) % n, (rank - 1) % n

    def exchange(sent, received):
        requests = [dist.isend(sent, after), dist.irecv(received, before)]
        for request in requests:
            request.wait()

    for step in range(n - 1):
        chunk = chunks[(rank - step - 1) % n]
        received = torch.empty_like(chunk)
        exchange(chunks[(rank - step) % n], received)
        chunk += received
    for step in range(n - 1):
        exchange(chunks[(rank + 1 - step) % n], chunks[(rank - step) % n])
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ring_all_reduce", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


def reduce_on_ranks(world_size, inputs):
    """For each rank and each of its inputs: result, what was sent, the input afterwards, and whether the result shares memory with the input or an earlier result."""
    def work(rank, world_size):
        found = []
        for by_rank in inputs:
            tensor = by_rank[rank].clone(memory_format=torch.preserve_format)
            with count_traffic(allowed=("send", "recv")) as traffic:
                result = ring_all_reduce(tensor)
            shares = result.numel() > 0 and result.untyped_storage().data_ptr() in [other.untyped_storage().data_ptr() for other in (tensor, *(earlier for earlier, *_ in found))]
            found.append((result, traffic.calls, tensor, shares))
        return found

    return run_ranks(work, world_size)


@cache_with_errors
def runs(world_size, make):
    """Each input's tensors by rank, with what each rank reports about it."""
    inputs = make(world_size)
    reports = probe(reduce_on_ranks, world_size, inputs)
    return [(by_rank, [report[i] for report in reports]) for i, by_rank in enumerate(inputs)]


def powers_of_ten(world_size):
    return [[torch.arange(1.0, 7) * 10.0**rank for rank in range(world_size)]]


@check(points=1, hint="Follow chunk 0 in the picture: who holds how many terms of it after each step?")
def three_ranks_add_up():
    """On three ranks, six elements are summed up."""
    [(inputs, reports)] = runs(3, powers_of_ten)
    truth = sum(inputs)
    for rank, (result, *_) in enumerate(reports):
        assert result is not None, "ring_all_reduce returned None"
        assert result.shape == truth.shape, f"rank {rank} returns the shape {tuple(result.shape)} instead of {tuple(truth.shape)}"
        assert torch.equal(result, truth), f"rank {rank} returns {result.tolist()} instead of {truth.tolist()}: each digit 1 stands for a rank, the first digit for rank 2"


@check(points=0.5, hint="With one rank there is nobody to send to.")
def one_rank_sends_nothing():
    """A single rank returns its own tensor's values, and sends nothing."""
    [(inputs, [(result, calls, _, _)])] = runs(1, powers_of_ten)
    assert torch.equal(result, inputs[0]), f"the result is {result.tolist()} instead of {inputs[0].tolist()}"
    assert not calls, f"{len(calls)} messages on a single rank"


### BEGIN HIDDEN TESTS
def ordinary(world_size):
    """Vectors in 32 bits of a length that the world size divides: short, with rounding, long, and one of them again."""
    generator = torch.Generator().manual_seed(world_size)
    short = [torch.randint(-9, 10, (6 * world_size,), generator=generator).float() for _ in range(world_size)]
    rounded = [torch.randn(1200, generator=generator) for _ in range(world_size)]
    return [short, rounded, [torch.full((200_000 * world_size,), rank + 1.0) for rank in range(world_size)], rounded]


def assorted(world_size):
    """Tensors by length, shape and type. In 32 bits, sums may have rounding; in other types they are the same in any order."""
    generator = torch.Generator().manual_seed(world_size)
    kinds = [(length, torch.float32) for length in (7, 13, 5, 3, 2, 1, 0)]
    kinds += [((2, 5), torch.float32), ((), torch.float32), ((3, 1, 4), torch.float64)]
    kinds += [(9, torch.float64), (9, torch.int64), (9, torch.bfloat16), (9, torch.int32), (9, torch.float16)]
    found = [[torch.randint(-9, 10, shape if isinstance(shape, tuple) else (shape,), generator=generator).to(dtype) for _ in range(world_size)] for shape, dtype in kinds]
    # Too large for float32, and beyond the even numbers of float64; a tensor that is not contiguous.
    found.append([torch.full((5,), 2**24 + 1 + rank, dtype=torch.float64) for rank in range(world_size)])
    found.append([torch.full((5,), 2**53 + 1 + rank) for rank in range(world_size)])
    found.append([torch.arange(12.0).reshape(3, 4).T * (rank + 1) for rank in range(world_size)])
    # Rounded after each addition, in any order, the sum of three differs from the sum that is rounded once.
    for dtype, values in ((torch.float16, (-0.455322265625, 0.04095458984375, 1.2900390625)), (torch.bfloat16, (2.765625, 0.9921875, -0.1865234375))):
        found.append([torch.full((5,), values[rank % 3], dtype=dtype) for rank in range(world_size)])
    found += [[torch.randn(length, generator=generator) for _ in range(world_size)] for length in (1, 2)]
    return found


def is_right(inputs, reports):
    exact = inputs[0].dtype != torch.float32
    truth = sum(inputs) if exact else sum(tensor.double() for tensor in inputs).float()
    results = [result for result, *_ in reports]
    if not all(torch.is_tensor(result) and result.shape == truth.shape and result.dtype == truth.dtype for result in results):
        return False
    return all(torch.equal(result, truth) if exact else torch.allclose(result, truth, atol=1e-5, rtol=0) for result in results)  # allclose compares whole numbers as floats


@check(points=2, hint="With N ranks there are N chunks and N - 1 steps in each phase.")
def any_number_of_ranks():
    """The sum is correct on two, three and four ranks, for lengths that the number of ranks divides."""
    for world_size in (2, 3, 4):
        for inputs, reports in runs(world_size, ordinary)[:2]:
            if not is_right(inputs, reports):
                fail(f"Wrong on {world_size} ranks, for a length that {world_size} divides.")


@check(points=1.5, hint="torch.tensor_split returns as many chunks as you ask for, some of them empty.")
def any_length():
    """The sum is correct for lengths that the number of ranks does not divide, for fewer elements than ranks, and for none."""
    for world_size in (2, 3, 4):
        for inputs, reports in runs(world_size, assorted):
            if inputs[0].dim() == 1 and inputs[0].dtype == torch.float32 and not is_right(inputs, reports):
                fail(f"Wrong on {world_size} ranks, for a length that {world_size} does not divide, or a very short one.")


@check(points=1, hint="Flatten a copy, and give the result the argument's shape and type. A buffer needs the type, too.")
def any_shape_and_type():
    """Shape and type are kept, and sums are exact in the tensor's own type."""
    for world_size in (2, 3):
        for inputs, reports in runs(world_size, assorted):
            if any(getattr(result, "shape", None) != inputs[0].shape for result, *_ in reports):
                fail("The shape of the result is wrong.")
            if inputs[0].dim() != 1 and not is_right(inputs, reports):
                fail("The sum is wrong for a tensor that has no axis or several.")
            if inputs[0].dtype != torch.float32 and not is_right(inputs, reports):
                fail("Wrong for a type that is not float32.")


@check(points=2, hint="Send chunks, not whole tensors: 2 (N - 1) of them, each with at most ceil(L / N) elements.")
def sends_no_more_than_it_must():
    """Each rank sends at most 2 (N - 1) ceil(L / N) elements."""
    for world_size in (2, 3, 4):
        for make in (ordinary, assorted):
            for inputs, reports in runs(world_size, make):
                most = 2 * (world_size - 1) * math.ceil(inputs[0].numel() / world_size)
                for _, calls, _, _ in reports:
                    if sum(elements for _, elements, _, _ in calls) > most:
                        fail(f"On {world_size} ranks, one of them sends more elements than a ring needs, of a tensor with {inputs[0].numel()}.")


@check(points=1, hint="Rank r sends to (r + 1) % N, and receives from (r - 1) % N.")
def sends_to_the_next_rank_only():
    """Every message goes to the next rank, and no rank is a root."""
    for world_size in (3, 4):
        for _, reports in runs(world_size, ordinary):
            for rank, (_, calls, _, _) in enumerate(reports):
                peers = {peer for name, _, _, peer in calls if name == "send"}
                if peers != {(rank + 1) % world_size}:
                    fail("A rank sends to a different rank than the next one, or to none.")


@check(points=1, hint="Wait for a request before you change the tensor that it sends.")
def large_tensors_arrive():
    """Chunks of 200,000 elements arrive as they were when they were sent, and all sums are correct."""
    for world_size in (2, 3, 4):
        if not is_right(*runs(world_size, ordinary)[2]):
            fail("Wrong for a large tensor.")


@check(points=0.5, hint="In the second phase, copy the complete chunks; do not add them up again in a different order.")
def all_ranks_hold_the_same_bits():
    """The results of all ranks agree to the last bit."""
    for world_size in (3, 4):
        for _, reports in runs(world_size, ordinary) + runs(world_size, assorted):
            if not all(torch.equal(result, reports[0][0]) for result, *_ in reports):
                fail("Two ranks return different numbers.")


@check(points=0.5, hint="Begin with a copy of the argument.")
def leaves_the_argument_alone():
    """The argument keeps its values, and the result shares memory neither with it, also on one rank, nor with an earlier result."""
    for world_size, make in ((1, powers_of_ten), (3, ordinary), (3, assorted)):
        for inputs, reports in runs(world_size, make):
            for mine, (_, _, after, shares) in zip(inputs, reports, strict=True):
                if not torch.equal(mine, after):
                    fail("The argument was changed.")
                if shares:
                    fail("The result shares memory with the argument, or with the result of an earlier call.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What the ring saves
#
# The same sum of 1,000,000 float32 numbers, counted: by your ring, and by a root that collects and sends back.

# %% tags=["demo", "raises-exception"]
def through_a_root(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    total = tensor.clone()
    if rank:
        dist.send(tensor, 0)
        dist.recv(total, 0)
    else:
        for other in range(1, n):
            received = torch.empty_like(tensor)
            dist.recv(received, other)
            total += received
        for other in range(1, n):
            dist.send(total, other)
    return total


def draw_bytes(length=1_000_000, sizes=(2, 3, 4)):
    def work(rank, world_size):
        sent = []
        for function in (ring_all_reduce, through_a_root):
            with count_traffic() as traffic:
                function(torch.ones(length))
            sent.append(traffic.bytes_sent / 2**20)
        return sent

    busiest = np.array([np.max(run_ranks(work, n), axis=0) for n in sizes])
    _, ax = plt.subplots(figsize=(5, 3))
    for way, label in enumerate(("ring", "root")):
        ax.plot(sizes, busiest[:, way], "o-", label=label)
    ax.set(xlabel="ranks", ylabel="MiB", title="Sent by the busiest rank", xticks=sizes, ylim=(0, None))
    ax.legend()
    plt.show()


draw_bytes()

# %% [markdown]
# **Change and try:** give every rank a tensor of one element, and count messages instead of bytes (`len(traffic.calls)`). For which lengths would you rather have the root?
#
# <details><summary>What you should see</summary>
#
# In the ring each of four ranks sends six times, and most chunks are empty; each message waits for the one before: six delays. At a root, three messages arrive at about the same time, and then three leave: two delays. So where a message's own delay costs more than
# its bytes, which means for short tensors, the root is faster.
# </details>
