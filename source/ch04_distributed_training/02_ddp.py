# %% [markdown]
# ## 4.2 DDP from scratch
#
# A small network learns from 8 rows, in four steps of AdamW: once in one process; then by PyTorch's own `DistributedDataParallel` (**DDP**), with the rows distributed over 2, 3 and 4 ranks. **Predict first:**
# for which of them do the weights end where one process ends? (Numbers have 64 bits.)

# %% tags=["demo"]
def compare_with_torch():
    def train(rank, world_size, parallel):
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
        network, x, y = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)).double(), draw(8, 4), draw(8, 1)
        for p in network.parameters():
            p.data = draw(*p.shape) / 2
        model = nn.parallel.DistributedDataParallel(network) if parallel else network
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(4):
            optimizer.zero_grad()
            F.mse_loss(model(x[rank::world_size]), y[rank::world_size]).backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    (alone,) = run_ranks(train, 1, False)
    for world_size in (2, 3, 4):
        different = (run_ranks(train, world_size, True)[0] - alone).abs().max().item()
        print(f"{world_size} ranks: largest difference {'below 1e-15' if different < 1e-15 else f'{different:.3f}'}")


compare_with_torch()

# %% [markdown]
# "Split the data and train several models at once"? No: **data parallelism trains one model.** Each rank has a copy, and computes gradients of its own rows. These are averaged, in every step, *before* the update. So all ranks make
# the same update, and their copies stay equal without being sent again. Ranks that update on their own for a while drift apart: that is a different method (section 4.4).
#
# The cost is high: each rank holds all weights, gradients and optimizer states (section 4.7 shares them out), and sends up to twice the gradient's bytes in each step (section 4.1).
#
# "Distributed training converges faster"? It raises the *throughput*: $N$ ranks read $N$ times as many rows in about the same time. Fewer steps are needed only as far as a larger batch helps; beyond a *critical batch size* it
# hardly does (McCandlish et al., arXiv:1812.06162).
#
# **And three ranks?** They have 3, 3 and 2 rows, and DDP gives each *rank* the same weight. So six rows count $1/9$ each, and two count $1/6$. PyTorch leaves this to you; `global_mean` corrects it.
#
# ### Sending while computing
#
# The backward pass computes the last layer's gradient first. It can travel while the other layers are computed. Each message costs time of its own, so small tensors are joined in **buckets**. PyTorch's DDP fills buckets of 25 MiB (the first one: 1 MiB)
# with parameters in reverse order, as a guess of the order in which gradients come (Li et al., *PyTorch Distributed*, arXiv:2006.15704). Three traps:
#
# - **Order.** Collectives are matched by order, not by name. If rank 0 sends bucket A first and rank 1 bucket B, equally large, A is added to B without an error.
# - **Missing gradients.** Where a batch does not reach a layer on one rank, no hook is called there. The others wait.
# - **Accumulation.** Four backward passes for one update need to send once, not four times. `no_sync` says when not to.

# %% nbgrader={"grade": false, "grade_id": "setup_ddp", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
from collections.abc import Iterator
from contextlib import contextmanager

# %% [markdown]
# ### Exercise 4.2 · Distributed data parallel
#
# > **Difficulty** ★★★☆ · **75 minutes** · **15 points** · PyTorch
#
# **Write** the class `DDP`, with as many further methods as you like, and the function `global_mean`. PyTorch's DDP fails in the hidden checks, and what is sent is counted.
#
# <details><summary>Hint 1: when is a gradient there?</summary>
#
# `p.register_post_accumulate_grad_hook(hook)` calls `hook(p)` in each backward pass that reaches `p`, once, when `p.grad` is complete; also if `p` is used several times. Count for each bucket how many are missing.
# </details>
#
# <details><summary>Hint 2: how does one send without waiting?</summary>
#
# `request = dist.all_reduce(joined, async_op=True)` returns at once. `request.wait()` belongs in `finish`; before it, `joined` is neither read nor changed.
# </details>
#
# <details><summary>Hint 3: the same order everywhere</summary>
#
# Keep the number of the next bucket to send. A hook sends *while* that bucket is complete. `finish` sends all that remain, with zeros for gradients that are missing, before it waits.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ddp", "locked": false, "schema_version": 3, "solution": true, "task": false}
class DDP(nn.Module):
    """A module that is trained on all ranks together: each has a copy, and gradients are averaged.

    All ranks make it from modules with the same parameters and buffers, whose values may differ: rank 0's are
    copied to the others, in place. A step is then, on each rank with its own rows:

        model(rows).mean().backward()
        model.finish()
        optimizer.step()

    **Buckets.** The parameters that need a gradient, in the reverse order of module.parameters(), are put
    into buckets. A bucket takes the next one if it has the same type and the bucket then
    has at most `bucket_bytes` bytes; if not, a new bucket begins. (So a larger parameter is alone.)

    **Sending.** A bucket's gradients are joined, and sent by one all-reduce. In a step, each bucket is sent once, and nothing
    else (but for buffers). All ranks send the buckets in the same order, the first one first. Each is sent during
    the backward pass, as soon as its gradients, and those of all buckets before it, are there. The backward
    pass never waits for other ranks.

    **Missing gradients.** A backward pass may reach only some of the parameters: different ones, in a different order, on
    each rank and in each step.

    **Buffers.** In training mode, outside no_sync(), each forward pass begins with a copy of rank 0's buffers: at
    most one broadcast for each. In evaluation mode it sends nothing; gradients are averaged as always.

    Args:
        module: its parameters are floating point, of any shapes and of one or several types. Some
            need no gradient; some are used several times.
        bucket_bytes: 0 or more.
    """

    def __init__(self, module: nn.Module, bucket_bytes: int = 25 * 2**20):
        super().__init__()
        ### BEGIN SOLUTION
        self.module, self.sends = module, True
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)
        self.buckets = []
        size = 0
        for p in reversed([p for p in module.parameters() if p.requires_grad]):
            size += p.nbytes
            if not self.buckets or size > bucket_bytes or p.dtype != self.buckets[-1][0].dtype:
                self.buckets.append([])
                size = p.nbytes
            self.buckets[-1].append(p)
            number = len(self.buckets) - 1
            p.register_post_accumulate_grad_hook(lambda _, number=number: self._arrived(number))
        self._begin()

    def _begin(self) -> None:
        self.missing = [len(bucket) for bucket in self.buckets]
        self.sent = []  # a bucket's joined gradients, and the request

    def _arrived(self, number: int) -> None:
        if self.sends:
            self.missing[number] -= 1
            while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
                self._send()

    def _send(self) -> None:
        bucket = self.buckets[len(self.sent)]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket])
        self.sent.append((joined, dist.all_reduce(joined, async_op=True)))
        ### END SOLUTION

    def forward(self, *args, **kwargs):
        """What module(*args, **kwargs) returns."""
        ### BEGIN SOLUTION
        if self.training and self.sends:
            for buffer in self.module.buffers():
                dist.broadcast(buffer, 0)
        return self.module(*args, **kwargs)
        ### END SOLUTION

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, forward and backward passes send nothing, and gradients add up on each rank.

        The next backward pass outside sends the sums. Also after an exception, sending goes on. It is not
        nested, and a forward pass and its backward pass are both inside or both outside.
        """
        ### BEGIN SOLUTION
        self.sends = False
        try:
            yield
        finally:
            self.sends = True
        ### END SOLUTION

    def finish(self) -> None:
        """Sends what is not sent yet, waits, and puts the averages into all p.grad.

        All ranks call it after each backward pass outside no_sync(), also a rank that has no rows and so had no backward pass.
        Then each p.grad is the mean of what p.grad holds on each rank, earlier gradients included,
        None counted as zeros. (Where it is None on all ranks, it may be zeros or None.)
        """
        ### BEGIN SOLUTION
        while len(self.sent) < len(self.buckets):
            self._send()
        for bucket, (joined, request) in zip(self.buckets, self.sent, strict=True):
            request.wait()
            mean = joined / dist.get_world_size()
            for p, part in zip(bucket, mean.split([p.numel() for p in bucket]), strict=True):
                p.grad = part.view_as(p)
        self._begin()
        ### END SOLUTION


def global_mean(losses: torch.Tensor) -> torch.Tensor:
    """The loss from which each rank starts its backward pass, if all *rows* are to count the same.

    DDP gives all *ranks* the same weight, whatever the number of their rows. All ranks call this function; each
    hands over one number, in one all-reduce.

    Args:
        losses: (n,), one loss for each row of this rank, floating point of a type that can hold all ranks' sum. n may differ from rank to
            rank, and may be 0 on some of them, but not on all.

    Returns:
        A scalar of that type. The mean of all ranks' scalars is the mean of all ranks' losses, and the mean
        of their gradients is its gradient.

    >>> run_ranks(lambda rank, world_size: global_mean(torch.tensor([[1.0, 2.0, 3.0], [10.0]][rank])), 2)  # the mean of all four is 4
    [tensor(3.), tensor(5.)]
    """
    ### BEGIN SOLUTION
    count = torch.tensor(len(losses))
    dist.all_reduce(count)
    return losses.sum() * (dist.get_world_size() / count.item())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ddp", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=15)

LIBRARY = ("torch.nn.parallel.DistributedDataParallel.__init__", "torch.distributed.Reducer")


def gradients_of(module):
    return [p.grad if p.grad is None else p.grad.clone() for p in module.parameters()]


@cache_with_errors
def two_steps():
    """For each of two ranks: weight at the start, output, gradient and calls of a step."""
    def work(rank, world_size):
        module = nn.Linear(2, 1, bias=False)
        module.weight.data = torch.tensor([[rank + 1.0, rank]])
        model = DDP(module)
        start = module.weight.detach().clone()
        output = model(input=torch.tensor([[1.0, 2.0], [3.0, 10.0]])[rank : rank + 1])
        if not torch.is_tensor(output):
            return start, None, None
        output.sum().backward()
        model.finish()
        return start, output.detach(), gradients_of(module)[0]

    return probe(lambda: run_ranks(work, 2))


@check(points=1.5, hint="Broadcast rank 0's parameters at the start. After finish(), each gradient is the ranks' sum, divided by their number.")
def two_ranks_average():
    """Two ranks begin with rank 0's weights, and a step leaves the mean of their gradients."""
    for rank, (start, output, gradient) in enumerate(two_steps()):
        assert start.tolist() == [[1.0, 0.0]], f"rank {rank} begins with the weights {start.tolist()} instead of rank 0's, [[1.0, 0.0]]"
        assert output is not None, "model(...) returns no tensor: does forward return what the module returns?"
        assert output.item() == [1.0, 3.0][rank], f"the output on rank {rank} is {output.item()} instead of {[1.0, 3.0][rank]}"
        assert gradient is not None, f"rank {rank} has no gradient after finish()"
        known = {(4.0, 12.0): ": that is the sum", (1.0, 2.0): ": that is rank 0's own", (3.0, 10.0): ": that is rank 1's own"}
        found = tuple(gradient.flatten().tolist())
        assert found == (2.0, 6.0), f"the gradients [1.0, 2.0] and [3.0, 10.0] have the mean [2.0, 6.0], and rank {rank} has {list(found)}{known.get(found, '')}"


@cache_with_errors
def calls_of_a_small_network():
    def work(rank, world_size):
        model = DDP(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), bucket_bytes=44)
        with count_traffic() as traffic:
            model(torch.ones(5, 4)).sum().backward()
            model.finish()
        return [list(call[:2]) for call in traffic.calls]

    return probe(lambda: run_ranks(work, 2))


@check(points=1, hint="Go through the parameters from the last to the first. A bucket is full when the next parameter does not fit any more.")
def one_message_for_each_bucket():
    """Two layers of float32 numbers, in buckets of at most 44 bytes, need two all-reduces."""
    for calls in calls_of_a_small_network():
        assert calls == [["all_reduce", 11], ["all_reduce", 12]], (
            "the last three parameters have 2 + 6 + 3 numbers, 44 bytes; the first one has 12. So 11 numbers should be sent, and then 12. "
            f"Sent in a step: {', '.join(f'{name} of {elements}' for name, elements in calls) or 'nothing'}"
        )


@check(points=1, hint="If this rank has n of the R rows of all N ranks: by which factor must the sum of its n losses be multiplied, so that the mean over N ranks is the sum over all rows divided by R?")
def three_rows_and_one():
    """global_mean gives 3 and 5 for the losses 1, 2, 3 on one rank and 10 on a different one."""
    found = probe(lambda: run_ranks(lambda rank, world_size: global_mean(torch.tensor([[1.0, 2.0, 3.0], [10.0]][rank])), 2))
    assert all(torch.is_tensor(value) and value.dim() == 0 for value in found), f"the results should be two scalars; they are {found}"
    values = [round(value.item(), 6) for value in found]
    known = {(2.0, 10.0): ": those are the ranks' own means", (6.0, 10.0): ": those are sums", (1.5, 2.5): ": their sum is 4, and it is their mean that should be"}
    assert values == [3.0, 5.0], f"the results are {values}{known.get(tuple(values), '')}"


### BEGIN HIDDEN TESTS
def same(found, truth, tolerance=1e-12):
    """Whether gradients agree; where the truth is None, zeros are correct, too."""
    for a, b in zip(found, truth, strict=True):
        if a is not None and b is not None:
            if a.shape != b.shape or a.dtype != b.dtype or not torch.allclose(a, b, rtol=tolerance, atol=tolerance):
                return False
        elif (a is None) != (b is None) and (a if b is None else b).any():
            return False
    return True


def mean_of(by_rank):
    """The mean over ranks of lists of gradients."""
    found = []
    for gradients in zip(*by_rank, strict=True):
        known = [gradient for gradient in gradients if gradient is not None]
        found.append(sum(known) / len(gradients) if known else None)
    return found


class Assorted(nn.Module):
    """Tied and frozen parameters, one without an axis, two types, and a layer that is used twice."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        self.embedding, self.frozen, self.twice = draw(7, 4), draw(4, 4).requires_grad_(False), draw(4, 4)
        self.scale, self.last = draw(), draw(7)
        self.narrow = nn.Parameter(draw(4).float())
        self.tied = self.embedding
        self.register_buffer("count", torch.tensor(seed), persistent=False)
        self.register_buffer("shift", torch.randn(4, generator=generator, dtype=torch.float64))

    def forward(self, tokens, *, power):
        hidden = self.embedding[tokens] @ self.twice + self.shift
        hidden = (hidden @ self.frozen).tanh() * self.narrow.double()
        return {"logits": self.scale * (hidden @ self.twice) ** power @ self.tied.T + self.last}


PIECES = (  # of Assorted: parameters, then buffers
    *("the tied parameter", "the frozen parameter", "the parameter that is used twice", "the parameter without an axis", "the parameter that is used last", "the parameter of 32 bits"),
    *("the buffer of whole numbers", "the buffer of floating-point numbers"),
)
SIZES = {0: "a bucket for each parameter", 150: "small buckets", 10**6: "large buckets"}


def tokens_of(rank, step):
    return torch.arange(2 + rank) * (3 + step) % 7


@cache_with_errors
def assorted_runs(world_size):
    """For each rank: weights and buffers at the start, and the gradients of two steps, the second in evaluation mode."""
    def work(rank, world_size):
        found = []
        with forbidden(*LIBRARY):
            for bucket_bytes in SIZES:
                module = Assorted(rank)
                model = DDP(module, bucket_bytes)
                start = [tensor.detach().clone() for tensor in (*module.parameters(), *module.buffers())]
                steps = []
                for step in range(2):
                    model.train(step == 0).zero_grad(set_to_none=step == 1)
                    model(tokens_of(rank, step), power=2)["logits"].square().mean().backward()
                    model.finish()
                    steps.append(gradients_of(module))
                found.append((start, steps))
        return found

    return probe(lambda: run_ranks(work, world_size))


@check(points=0.5, hint="Frozen parameters and buffers are to be equal, too. Change them in place, on the other ranks only.")
def all_ranks_start_as_rank_0():
    """All parameters and buffers, of any type, begin as those of rank 0."""
    module = Assorted(0)
    truth = [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
    for report in assorted_runs(3):
        for start, _ in report:
            for piece, a, b in zip(PIECES, start, truth, strict=True):
                if a.dtype != b.dtype or not torch.equal(a, b):
                    fail(f"After DDP(module), {piece} is not rank 0's.")


@check(points=1.5, hint="module.parameters() names a tied parameter once. A frozen one has no gradient. Parameters of different types cannot be joined.")
def gradients_are_means():
    """Gradients are the means of the ranks' own: tied, frozen and scalar parameters, two types, steps with other tokens, in evaluation mode, too."""
    for world_size in (1, 3):
        local = []
        for rank in range(world_size):
            steps = []
            for step in range(2):
                module = Assorted(0)
                module(tokens_of(rank, step), power=2)["logits"].square().mean().backward()
                steps.append(gradients_of(module))
            local.append(steps)
        for report in assorted_runs(world_size):
            for (_, steps), size in zip(report, SIZES.values(), strict=True):
                for step, found in enumerate(steps):
                    for piece, own, truth in zip(PIECES, found, mean_of([own[step] for own in local]), strict=False):
                        if not same([own], [truth], 1e-5):  # one parameter has 32 bits
                            fail(f"The gradient of {piece} is wrong on {world_size} rank{'s' if world_size > 1 else ''}, with {size}, in the {'first' if step == 0 else 'second'} step.")


class Paths(nn.Module):
    """Four layers of equal size, which each call uses in an order of its own."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.layers = nn.ParameterList(torch.randn(3, 3, generator=generator, dtype=torch.float64) for _ in range(4))

    def forward(self, x, order):
        for i in order:
            x = (x @ self.layers[i]).tanh()
        return x


def rows_of(rank, step):
    return torch.linspace(-1 - rank, 2 + step, 6, dtype=torch.float64).reshape(2, 3)


def walk(plan):
    """The gradients after each step of a plan: for each rank and step, an order of layers, or None for no backward pass."""
    def work(rank, world_size, plan):
        found = []
        with forbidden(*LIBRARY):
            for bucket_bytes in (72, 144):
                module = Paths()
                model = DDP(module, bucket_bytes)
                steps = []
                for step, order in enumerate(plan[rank]):
                    model.zero_grad()
                    if order is not None:
                        model(rows_of(rank, step), order).sum().backward()
                    model.finish()
                    steps.append(gradients_of(module))
                found.append(steps)
        return found

    return run_ranks(work, len(plan), plan, seconds=10)  # messages of different lengths may keep ranks busy for ever


def walk_alone(plan):
    """The same, in one process."""
    found = []
    for step in range(len(plan[0])):
        local = []
        for rank, orders in enumerate(plan):
            module = Paths()
            if orders[step] is not None:
                module(rows_of(rank, step), orders[step]).sum().backward()
            local.append(gradients_of(module))
        found.append(mean_of(local))
    return found


def first_wrong_step(plan):
    """The first step with a wrong gradient, or None. Sums instead of means, which other checks are about, are accepted here."""
    truth = walk_alone(plan)
    sums = [[None if gradient is None else len(plan) * gradient for gradient in step] for step in truth]
    found = [steps for report in probe(walk, plan) for steps in report]
    wrong = [[i for i, step in enumerate(wanted) if not all(same(steps[i], step) for steps in found)] for wanted in (truth, sums)]
    return max(steps[0] for steps in wrong) if all(wrong) else None


@check(points=1, hint="The order in which gradients arrive is each rank's own. A bucket that is complete has to wait for those before it.")
def order_is_the_same_on_all_ranks():
    """Gradients are correct where they arrive in a different order on each rank, in buckets of equal size."""
    plan = [[[0, 1, 2, 3], [3, 1, 0, 2]], [[3, 2, 1, 0], [0, 1, 2, 3]], [[1, 0, 3, 2], [2, 3, 1, 0]]]
    if (step := first_wrong_step(plan)) is not None:
        fail(f"Gradients are mixed up where three ranks use their layers in different orders, in the {('first', 'second')[step]} step.")


@check(points=1.5, hint="After the backward pass, finish() sends the buckets that are not complete. The next step counts from the beginning.")
def gradients_may_be_missing():
    """Gradients are correct where a rank, in some steps, does not reach a parameter, or any."""
    plan = [
        [[0, 1, 2, 3], [0, 1], [3, 0, 1, 2], None, [1, 2, 3, 0], [1, 2], [0, 1, 2, 3]],
        [[0, 1, 2, 3], [2, 1], [0, 1, 2, 3], None, None, [3], [0, 1, 2, 3]],
        [[0, 1, 2, 3], [1, 0], [0], [3], [0, 1, 2, 3], [2, 1], [0, 1, 2, 3]],
    ]
    kinds = (
        "where all ranks reach all layers",
        "where no rank reaches the last layer",
        "where one rank reaches the first layer only",
        "where two of three ranks have no backward pass",
        "where one rank has no backward pass",
        "where each rank reaches some of the layers",
        "where all ranks reach all layers again",
    )
    if (step := first_wrong_step(plan)) is not None:
        fail(f"Gradients are wrong {kinds[step]}.")


class Pieces(nn.Module):
    """Parameters of 5, 6, 1, 4, 10 and 2 numbers."""

    def __init__(self, double=(), frozen=(), tied=()):
        super().__init__()
        shapes = [(5,), (3, 2), (), (4,), (2, 1, 5), (2,)]
        self.pieces = nn.ParameterList(nn.Parameter(torch.ones(shape, dtype=torch.float64 if i in double else torch.float32), requires_grad=i not in frozen) for i, shape in enumerate(shapes))
        self.again = nn.ParameterList(self.pieces[i] for i in tied)

    def forward(self):
        return sum(piece.double().sum() for piece in self.pieces)


BUCKETS = [  # arguments of Pieces, bucket_bytes, and the numbers of each bucket
    ({}, 48, [12, 11, 5]),
    ({}, 47, [2, 10, 11, 5]),
    ({}, 30, [2, 10, 5, 6, 5]),
    ({}, 0, [2, 10, 4, 1, 6, 5]),
    ({}, None, [28]),
    ({"frozen": (3,)}, 48, [12, 12]),
    ({"tied": (1, 5)}, 30, [2, 10, 5, 6, 5]),
    ({"double": (2,)}, None, [16, 1, 11]),
    ({"double": (0, 1)}, 60, [12, 5, 6, 5]),
]


@check(points=1, hint="Count bytes, not numbers, from the last parameter to the first; p.nbytes knows them. What needs no gradient is not sent. Nothing is sent apart from the buckets.")
def sends_each_bucket_once():
    """In each step, each bucket is one all-reduce, cut as the docstring says, and nothing else is sent."""
    def run(cases):
        def work(rank, world_size, cases):
            found = []
            with forbidden(*LIBRARY):
                for arguments, bucket_bytes in cases:
                    model = DDP(Pieces(**arguments)) if bucket_bytes is None else DDP(Pieces(**arguments), bucket_bytes)
                    for _ in range(2):
                        with count_traffic() as traffic:
                            model().backward()
                            model.finish()
                        found.append([list(call[:3]) for call in traffic.calls])
            return found

        return run_ranks(work, 2, cases)

    for report in probe(run, [case[:2] for case in BUCKETS]):
        for i, calls in enumerate(report):
            arguments, bucket_bytes, sizes = BUCKETS[i // 2]
            kinds = {"frozen": "with a frozen parameter", "tied": "with tied parameters", "double": "with two types"}
            where = next((kinds[kind] for kind in arguments), {0: "with bucket_bytes=0", None: "with the default of bucket_bytes"}.get(bucket_bytes, "with small buckets"))
            numbers = [elements for _, elements, _ in calls]
            if any(name != "all_reduce" for name, *_ in calls):
                fail(f"In a step, something other than an all-reduce is used, {where}.")
            if sum(numbers) != sum(sizes):
                fail(f"In a step, the ranks send more or fewer numbers than there are gradients, {where}.")
            if len(calls) != len(sizes):
                fail(f"In a step, there are more or fewer messages than buckets, {where}.")
            if numbers != sizes:
                fail(f"The buckets are cut in different places than the docstring says, {where}.")
            if not arguments.get("double") and any(size != 4 * elements for _, elements, size in calls):
                fail(f"Gradients are sent in a different type than theirs, {where}.")


WIDTH, DEPTH = 300, 5


@cache_with_errors
def slow_rank():
    """For each of two ranks: how many all-reduces there were when each layer's backward pass began, and at its end; gradients."""
    def run():
        class Layer(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, note):
                ctx.save_for_backward(x, weight)
                ctx.note = note
                return x @ weight

            @staticmethod
            def backward(ctx, gradient):
                ctx.note()
                x, weight = ctx.saved_tensors
                return gradient @ weight.T, x.T @ gradient, None

        class Chain(nn.Module):
            def __init__(self):
                super().__init__()
                self.weights = nn.ParameterList(torch.full((WIDTH, WIDTH), 1 / WIDTH, dtype=torch.float64) for _ in range(DEPTH))

            def forward(self, x, note):
                for weight in self.weights:
                    x = Layer.apply(x, weight, note)
                return x

        ready, begin = os.pipe()

        def work(rank, world_size):
            with forbidden(*LIBRARY), count_traffic() as traffic:
                module, notes = Chain(), []
                model = DDP(module, 8 * WIDTH**2)
                already = len(traffic.calls)
                output = model(torch.full((2, WIDTH), rank + 1.0, dtype=torch.float64), lambda: notes.append(len(traffic.calls) - already))
                if rank == 1:
                    os.read(ready, 1)  # begins when rank 0 has ended
                output.sum().backward()
                notes.append(len(traffic.calls) - already)
                if rank == 0:
                    os.write(begin, b"x")
                model.finish()
            return notes, [(p.grad.min().item(), p.grad.max().item()) for p in module.parameters()]

        try:
            return run_ranks(work, 2)
        finally:
            os.close(ready)
            os.close(begin)

    return probe(run)


@check(points=1, hint="all_reduce(..., async_op=True) returns at once, with a request. Wait in finish(), and nowhere else.")
def backward_pass_does_not_wait():
    """A rank ends its backward pass although a different one has not begun its own; finish() waits for it, and for all of a large gradient."""
    # All numbers of a layer are equal: a gradient is 2 on rank 0, and 4 on rank 1. Sums are accepted here.
    found = [value for _, gradients in slow_rank() for pair in gradients for value in pair]
    if not any(all(abs(value - truth) < 1e-9 for value in found) for truth in (3, 6)):
        fail("A gradient is wrong where one rank is late.")


@check(points=1, hint="A hook runs when a parameter's gradient is there (register_post_accumulate_grad_hook). If a bucket is now complete, send it there.")
def sends_while_it_computes():
    """Buckets leave during the backward pass, each as soon as it is complete."""
    for notes, _ in slow_rank():
        if len(notes) != DEPTH + 1 or notes[-1] != DEPTH:
            fail("When the backward pass has ended, not every bucket has been sent.")
        if any(n < layer - 1 for layer, n in enumerate(notes)):
            fail("A bucket is sent later than it is complete.")


@cache_with_errors
def normalised_runs():
    """For each of two ranks: the buffers at each stage, and what was sent."""
    def work(rank, world_size):
        module = nn.BatchNorm1d(3, dtype=torch.float64)
        module.running_mean += rank
        model = DDP(module)
        rows = torch.arange(12.0, dtype=torch.float64).reshape(4, 3) * (rank + 1)
        stages, calls = [], []
        for kind in ("train", "train", "no_sync", "eval", "train"):
            model.train(kind != "eval")
            with forbidden(*LIBRARY), count_traffic() as traffic:
                if kind == "no_sync":
                    with model.no_sync():
                        model(rows)
                else:
                    model(rows)
            stages.append([buffer.clone() for buffer in module.buffers()])
            calls.append([call[0] for call in traffic.calls])
        return stages, calls

    return probe(lambda: run_ranks(work, 2))


@check(points=1, hint="Broadcast the buffers at the beginning of forward, but only in training mode and outside no_sync(). One call for each is enough.")
def buffers_follow_rank_0():
    """Each forward pass in training mode begins with rank 0's buffers, and evaluation and no_sync send nothing."""
    modules = [nn.BatchNorm1d(3, dtype=torch.float64) for _ in range(2)]
    rows = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)
    reports = normalised_runs()
    for stage, kind in enumerate(("train", "train", "no_sync", "eval", "train")):
        if kind == "train":
            modules[1].load_state_dict(modules[0].state_dict())
        for rank, module in enumerate(modules):
            module.train(kind != "eval")
            module(rows * (rank + 1))
            stages, calls = reports[rank]
            if kind != "train" and calls[stage]:
                fail("Something is sent by a forward pass in evaluation mode." if kind == "eval" else "Something is sent by a forward pass inside no_sync().")
            if kind == "train" and (len(calls[stage]) > 3 or set(calls[stage]) - {"broadcast"}):
                fail("A forward pass sends something other than one broadcast for each buffer.")
            if not same(stages[stage], list(module.buffers())):
                fail("Buffers are wrong " + {"train": "after a forward pass in training mode.", "eval": "after a forward pass in evaluation mode.", "no_sync": "after a forward pass inside no_sync()."}[kind])


@cache_with_errors
def accumulated_runs():
    """For each of two ranks: calls inside no_sync; of three steps, how many calls the last backward pass made, and the gradients."""
    def work(rank, world_size):
        found = []
        with forbidden(*LIBRARY):
            for bucket_bytes in (72, 10**6):
                module = Paths()
                model = DDP(module, bucket_bytes)
                steps, calls, early = [], [], []
                for step in range(3):
                    with count_traffic() as traffic:
                        try:
                            with model.no_sync():
                                model(rows_of(rank, step), [0, 1, 3]).sum().backward()
                                model(rows_of(rank, step + 1), [3, 2]).sum().backward()
                                if step == 1:
                                    raise KeyError
                        except KeyError:
                            pass
                    calls += traffic.names
                    with count_traffic() as traffic:
                        model(rows_of(rank, step + 2), [0, 2, 3]).sum().backward()
                    early.append(len(traffic.calls))
                    model.finish()
                    steps.append(gradients_of(module))  # kept for the next step
                found.append((calls, early, steps))
        return found

    return probe(lambda: run_ranks(work, 2))


@check(points=1, hint="The hooks have to know that they are inside no_sync: there, they neither count nor send. What is sent is p.grad, all of it. Set the mark back in a finally block.")
def no_sync_adds_up():
    """Inside no_sync nothing is sent; the next backward pass outside sends the sums, also those that it does not reach itself."""
    modules = [Paths(), Paths()]
    for step in range(3):
        for rank, module in enumerate(modules):
            for later, order in enumerate(([0, 1, 3], [3, 2], [0, 2, 3])):
                module(rows_of(rank, step + later), order).sum().backward()
        truth = mean_of([gradients_of(module) for module in modules])
        for module in modules:
            for p, gradient in zip(module.parameters(), truth, strict=True):
                p.grad = gradient.clone()
        for report in accumulated_runs():
            for i, (calls, early, steps) in enumerate(report):
                if calls:
                    fail("Inside no_sync, something is sent.")
                if i == 0 and early[step] < 2:  # the buckets of layers 3 and 2; layer 1 is not reached
                    fail("The backward pass after no_sync leaves to finish() what it could have sent" + (", where an exception ended no_sync." if step == 1 else "."))
                if not same(steps[step], truth):
                    fail("Gradients that were added up are wrong" + (", in the step after an exception inside no_sync." if step == 1 else "."))


COUNTS = [(3, 3, 2), (1, 0, 5), (0, 0, 1), (2, 2, 2)]


@check(points=1, hint="Only the number of rows has to travel. An empty sum is 0, an empty mean is NaN.")
def every_row_counts_the_same():
    """global_mean agrees with the mean of all rows and its gradient, also with empty ranks, and hands over one number."""
    def run(cases):
        def work(rank, world_size, cases):
            found = []
            for by_rank in cases:
                losses = by_rank[rank].clone().requires_grad_()
                with count_traffic(allowed=("all_reduce",)) as traffic:
                    result = global_mean(losses * 1)
                result.backward()
                found.append((result.detach(), losses.grad, traffic.elements_sent))
            return found

        return run_ranks(work, 3, cases)

    cases = [[torch.randn(n, dtype=torch.float64 if i % 2 else torch.float32) for n in counts] for i, counts in enumerate(COUNTS)]
    reports = probe(run, cases)
    for i, by_rank in enumerate(cases):
        where = f"with rows {' | '.join(map(str, COUNTS[i]))}"
        rows = torch.cat(by_rank)
        results = [report[i] for report in reports]
        if not all(result.dim() == 0 and result.dtype == rows.dtype for result, *_ in results):
            fail(f"The result is no scalar, or has a different type than the losses, {where}.")
        if not abs(sum(result for result, *_ in results) / 3 - rows.mean()) <= 1e-5:  # it may be NaN
            fail(f"The mean of the results is not the mean of all losses, {where}.")
        for _, gradient, sent in results:
            if not torch.allclose(gradient, torch.full_like(gradient, 3 / len(rows)), rtol=1e-5):
                fail(f"The gradient is not that of the mean of all losses, {where}.")
            if sent != 1:
                fail(f"A rank hands over more or less than one number, {where}.")


def make_network():
    generator = torch.Generator().manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    for p in network.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2
    return network


def batch_of(step):
    rows = torch.sin(torch.arange(40.0, dtype=torch.float64) * (1 + step) ** 0.5).reshape(8, 5)
    return rows[:, :4], rows[:, 4]


@check(points=1, hint="Both parts are needed: global_mean for ranks with fewer rows, and the mean of gradients, before the optimizer sees them.")
def trains_like_one_process():
    """Four steps of AdamW on 8 rows, distributed over three ranks, end as in one process."""
    def work(rank, world_size):
        model = DDP(make_network(), 200)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
        with forbidden(*LIBRARY):
            for step in range(4):
                x, y = (part[rank::world_size] for part in batch_of(step))
                optimizer.zero_grad()
                global_mean((model(x).squeeze(1) - y) ** 2).backward()
                model.finish()
                optimizer.step()
        return [p.detach() for p in model.parameters()]

    alone = make_network()
    optimizer = torch.optim.AdamW(alone.parameters(), lr=0.02)
    for step in range(4):
        x, y = batch_of(step)
        optimizer.zero_grad()
        F.mse_loss(alone(x).squeeze(1), y).backward()
        optimizer.step()
    for weights in probe(lambda: run_ranks(work, 3)):
        if not all(a.shape == b.shape and torch.allclose(a, b, atol=1e-10) for a, b in zip(weights, alone.parameters(), strict=True)):
            fail("On three ranks, the weights end elsewhere than in one process.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How large should a bucket be?
#
# Your `DDP` trains the small GPT of chapter 1 for one step on two ranks. On the left, what has been sent during the backward pass; its progress is counted in the multiplications of the linear layers. On the right, a calculation with these counts: sending the whole gradient takes as long as
# 80 % of the backward pass, and each message 2 % besides. **Predict:** which bucket size is best, the smallest, the largest, or one between?

# %% tags=["demo", "raises-exception"]
def draw_overlap(share=0.8, message=0.02):
    from torch.utils._python_dispatch import TorchDispatchMode

    network = lesson.gpt(own=False).model.train()

    def work(rank, world_size, sizes):
        class Progress(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                if function is torch.ops.aten.mm.default:
                    self.done += args[0].numel() * args[1].shape[1]
                self.events += [(self.done, call.bytes) for call in traffic.calls[len(self.events) :]]
                return function(*args, **(kwargs or {}))

        found, tokens = [], torch.arange(4 * 65).reshape(4, 65) % 500
        for size in sizes:
            model, progress = DDP(copy.deepcopy(network), size), Progress()
            loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            progress.done, progress.events = 0, []
            with progress, count_traffic() as traffic:
                loss.backward()
                model.finish()
            found.append([(done / progress.done, size) for done, size in progress.events])
        return found

    sizes = [0, *(2**i * 1024 for i in range(4, 11))]
    try:
        runs, _ = run_ranks(work, 2, sizes, seconds=120)
    except NotImplementedError:
        print("This figure is made by your DDP. Write it first.")
        return
    total = sum(size for _, size in runs[0])
    ends = []
    for events in runs:
        free = 0
        for done, size in events:
            free = max(free, done) + message + share * size / total
        ends.append(free)
    _, (left, right) = plt.subplots(1, 2, figsize=(9.7, 3.4), width_ratios=(1.4, 1))
    labels = ["each parameter alone", *(f"{size // 1024} KiB" for size in sizes[1:])]
    for i, style in ((0, "C0-"), (4, "C1--"), (len(sizes) - 1, "C2:")):
        x, y = zip(*runs[i], strict=True)
        left.step([0, *x, 1], [0, *np.cumsum(y) / 1e6, total / 1e6], style, where="post", label=f"{labels[i]}: {len(x)} message{'s' if len(x) > 1 else ''}")
    left.set(xlabel="progress of the backward pass", ylabel="MB", title="Handed over by a rank", xlim=(0, 1.02))
    left.legend(fontsize=8.5)
    right.plot(range(len(sizes)), ends, "o-", ms=5)
    right.axhline(1, color="0.45", ls="--", lw=1.2)
    right.set(xlabel="bucket, KiB", ylabel="backward pass = 1", title="All gradients have arrived at", ylim=(0.9, None))
    right.set_xticks(range(len(sizes)), labels=["0", *(str(size // 1024) for size in sizes[1:])])
    plt.show()
    print(", ".join(f"{label}: {end:.2f}" for label, end in zip(labels, ends, strict=True)))


draw_overlap()

# %% [markdown]
# 128 KiB, a sixth of the gradient. Small buckets pay for each of 52 messages; a single one leaves when all is computed. Even the best ends at 1.38. In the first quarter nothing can leave: it is the output layer's, whose matrix is the embedding, too. So that gradient is complete last.
#
# **Change, predict, run.** On a slow network each message costs 10 %: `draw_overlap(message=0.1)`. Where is the minimum now? And with `message=0`?
#
# <details><summary>Answer</summary>
#
# At 256 KiB (1.75). Free messages: 0 to 32 KiB are equally good (1.21).
# </details>
