# %% [markdown]
# ## 4.7 ZeRO: nobody needs a whole optimizer
#
# A model of 7.5 billion parameters takes 15 GB in 16 bits. Training it by data parallelism takes 120 GB on *every* device, without any activations. **Predict first:** what are the other 105 GB?
#
# *"Data parallelism has little overhead."* In memory its overhead is large: each device holds a full copy of everything. With AdamW in mixed precision, a parameter takes
#
# | | bytes |
# |---|---|
# | the parameter and its gradient, 16 bits each | 2 + 2 |
# | the parameter once more, in 32 bits (section 3.4) | 4 |
# | AdamW's averages of the gradient and of its square, in 32 bits | 4 + 4 |
#
# Only the optimizer uses the last 12 bytes, and all $N$ devices compute the same update. **ZeRO** (Rajbhandari et al., arXiv:1910.02054) lets each do
# an $N$-th of it. **Stage 1** shards the optimizer's state, **stage 2** also the gradients, **stage 3** also the parameters; FSDP is PyTorch's name for that.
#
# Does it cost traffic? An all-reduce is a reduce-scatter and an all-gather (section 4.1). Between the two, each rank holds one shard of the summed gradient. **Put the optimizer there:**
#
# 1. *Reduce-scatter* the gradients: rank $r$ gets shard $r$ of the sum.
# 2. Rank $r$ updates shard $r$ of the parameters. It needs the averages of that shard, and no others.
# 3. *All-gather* the new parameters.
#
# These are the bytes of an all-reduce. Stage 2 sends as many: it only drops a gradient as soon as its owner has it. (With several micro-batches in a step, it reduce-scatters after each.) Stage 3 fetches the parameters for the forward pass and again for the backward pass: 1.5 times the traffic (section 7 of the paper).
#
# If whole parameters were dealt out, some ranks would hold much more than others: a parameter can be as large as an embedding or as small as a bias. So all are joined to one vector, cut into $N$ equal shards wherever the cuts
# fall. Two things are easily lost in it: which numbers are *not* to decay, and that the norm for clipping is that of *all* shards.
#
# ### Exercise 4.7 · ZeRO-1
#
# > **Difficulty** ★★★☆ · **50 minutes** · **13 points** · PyTorch
#
# **Write** three functions. `dist.reduce_scatter_single(output, input)` adds up all ranks' inputs and gives rank $r$ piece $r$ of the sum;
# `dist.all_gather_single(output, input)` joins all ranks' inputs. Hidden checks count what you send, and all memory that is left after a step.
#
# <details><summary>Hint 1: a shard that ends in the middle of a parameter</summary>
#
# `torch.cat` and `F.pad` make the vector; a slice is the shard. Do the same with gradients and with the flags for decay. AdamW works number by number.
# </details>
#
# <details><summary>Hint 2: AdamW</summary>
#
# With $g$ the clipped mean gradient: $m \leftarrow \beta_1 m + (1-\beta_1) g$ and $v \leftarrow \beta_2 v + (1-\beta_2) g^2$. Then $w \leftarrow w\,(1 - \eta\lambda)$, where $w$ decays, and
# $w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)$ with $\hat m = m / (1-\beta_1^t)$, $\hat v = v / (1-\beta_2^t)$.
# </details>
#
# <details><summary>Hint 3: the norm</summary>
#
# The square of a norm is a sum, so it can be all-reduced. A norm can not.
# </details>

# %% nbgrader={"grade": false, "grade_id": "zero", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shard_step(
    parameters: list[torch.Tensor],
    decays: list[bool],
    state: dict,
    lr: float,
    max_norm: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> float:
    """One step of AdamW in which each rank keeps the optimizer's state of one shard only (ZeRO-1).

    All ranks call it. The parameters, flattened and joined in their order, are one vector of P
    numbers. Filled up with zeros at its end, it has N equal shards of ceil(P / N) numbers; rank r
    owns shard r. The ranks' gradients are averaged, clipped by their norm, and each owner updates
    its shard as torch.optim.AdamW does. Then each rank gets all new values.

    A step hands over one reduce-scatter, one all-gather and one all-reduce of a single number,
    and nothing else.

    Args:
        parameters: of one floating-point type, in any shapes, with the same values on all ranks;
            changed in place. The same tensors as in the steps before. Each rank has gradients of its
            own in p.grad; None counts as zeros.
        decays: for each parameter, whether weight decay applies to it.
        state: {} before the first step. Afterwards, and before each further one, it holds
            "step", the number of steps, and "exp_avg" and "exp_avg_sq", AdamW's two averages of
            the own shard, tensors of shape (ceil(P / N),) and the parameters' type. Between steps, no
            other memory is held: here, or elsewhere.
        lr, betas, eps, weight_decay: as in torch.optim.AdamW.
        max_norm: above 0. If the norm of the averaged gradient, over all parameters, is larger, that gradient is
            multiplied by max_norm / norm.

    Returns:
        That norm, before clipping, computed in the parameters' type; the same on all ranks.

    >>> shard_step(list(model.parameters()), [p.dim() > 1 for p in model.parameters()], state, lr=1e-3, max_norm=1.0)
    """
    ### BEGIN SOLUTION
    rank, n = dist.get_rank(), dist.get_world_size()
    size = math.ceil(sum(p.numel() for p in parameters) / n)

    def flat(tensors):
        joined = torch.cat([tensor.reshape(-1) for tensor in tensors])
        return F.pad(joined, (0, n * size - len(joined)))

    with torch.no_grad():
        gradients = flat([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
        gradient = gradients.new_empty(size)
        dist.reduce_scatter_single(gradient, gradients)
        gradient /= n
        square = gradient.square().sum()
        dist.all_reduce(square)
        norm = square.sqrt()
        if norm > max_norm:
            gradient *= max_norm / norm

        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
        state["step"] += 1
        state["exp_avg"].mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
        state["exp_avg_sq"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        mean = state["exp_avg"] / (1 - betas[0] ** state["step"])
        square_mean = state["exp_avg_sq"] / (1 - betas[1] ** state["step"])

        own = slice(rank * size, (rank + 1) * size)
        shard = flat(parameters)[own]
        decay = flat([torch.full_like(p, flag) for p, flag in zip(parameters, decays, strict=True)])[own]
        shard = shard * (1 - lr * weight_decay * decay) - lr * mean / (square_mean.sqrt() + eps)
        everything = shard.new_empty(n * size)
        dist.all_gather_single(everything, shard)
        start = 0
        for p in parameters:
            p.copy_(everything[start : start + p.numel()].view(p.shape))
            start += p.numel()
    return norm.item()
    ### END SOLUTION


def gather_state(parameters: list[torch.Tensor], state: dict) -> list[dict[str, torch.Tensor]]:
    """The optimizer's whole state, parameter by parameter, on each rank: what a checkpoint needs.

    With it, training may go on with another number of ranks, or with torch.optim.AdamW. All ranks call
    it; only all-gathers are used.

    Args:
        parameters: as for shard_step.
        state: what shard_step has left; not changed.

    Returns:
        For each parameter {"exp_avg": tensor, "exp_avg_sq": tensor}, both of its shape and type. They share
        no memory with `state`, also on one rank: the next step does not change them.

    >>> [entry["exp_avg"].shape for entry in gather_state([torch.zeros(2, 3), torch.zeros(5)], state)]
    [torch.Size([2, 3]), torch.Size([5])]
    """
    ### BEGIN SOLUTION
    found = [{} for _ in parameters]
    for name in ("exp_avg", "exp_avg_sq"):
        everything = state[name].new_empty(dist.get_world_size() * len(state[name]))
        dist.all_gather_single(everything, state[name])
        start = 0
        for p, entry in zip(parameters, found, strict=True):
            entry[name] = everything[start : start + p.numel()].view(p.shape)
            start += p.numel()
    return found
    ### END SOLUTION


def zero_bytes(n_parameters: int, n_ranks: int, stage: int) -> dict[str, int]:
    """What one rank holds, and sends in a step, when a model is trained with AdamW in mixed precision.

    A parameter and its gradient take 2 bytes each. The optimizer keeps 12 more for each: the
    parameter in 32 bits, and the two averages. A stage shards what the one before shards, and one thing more: stage 0, plain
    data parallelism, shards nothing; stage 1 the optimizer's 12 bytes, stage 2 also the gradients, stage 3
    also the parameters. What is sharded takes ceil(P / N) numbers of each kind on a rank, for P
    parameters on N ranks; what is not takes P.

    A collective in a ring, all-gather or reduce-scatter, sends (N - 1) · ceil(P / N) numbers from each rank, of
    2 bytes; an all-reduce is one of each. Stages 0 to 2 send one reduce-scatter and one all-gather, or as much; stage 3 gathers
    the parameters twice, once before the forward pass and once before the backward pass.

    Args:
        n_parameters, n_ranks: from 1 on.
        stage: 0, 1, 2 or 3.

    Returns:
        {"parameters": ..., "gradients": ..., "optimizer": ..., "sent": ...}, whole numbers of bytes.

    >>> zero_bytes(10, 4, 1)
    {'parameters': 20, 'gradients': 20, 'optimizer': 36, 'sent': 36}
    """
    ### BEGIN SOLUTION
    shard = math.ceil(n_parameters / n_ranks)
    held = [n_parameters if stage < first else shard for first in (3, 2, 1)]
    collectives = 3 if stage == 3 else 2
    return {
        "parameters": 2 * held[0],
        "gradients": 2 * held[1],
        "optimizer": 12 * held[2],
        "sent": 2 * collectives * (n_ranks - 1) * shard,
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_zero", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
import functools

check = Checks(points=13)


def make_parameters(shapes, dtype=torch.float64):
    """Parameters with fixed numbers in them."""
    return [torch.linspace(-1, 1 + i, math.prod(shape), dtype=dtype).reshape(shape).clone().requires_grad_() for i, shape in enumerate(shapes)]


def gradient_of(shape, i, rank, step, size, dtype):
    """The gradient of parameter i on a rank, different for each."""
    angles = torch.arange(math.prod(shape), dtype=dtype) * (1.3 + 0.7 * i) + 2.1 * rank + 0.9 * step
    return (size * angles.sin() + 0.1 * size * rank).reshape(shape)


def held_at_most(shapes, n):
    """Bytes that a rank may hold between steps: two averages of one shard, in 64 bits, and a few numbers."""
    return 8 * (2 * math.ceil(sum(math.prod(shape) for shape in shapes) / n) + n) + 64


def train_sharded(n, jobs):
    """For each rank and job: weights, norms, calls of each step, state, its memory, the gathered state and the calls for it."""
    def work(rank, world_size):
        import gc
        import time

        gc.freeze()  # what there was before is not looked at below; that would take seconds

        def memory():
            gc.collect()
            tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor) and thing.dtype.is_floating_point]
            return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())

        found, patience = [], 10.0 if world_size == 3 else 0.0  # holds_one_shard looks at three ranks
        for shapes, decays, n_steps, options, size, dtype, missing in jobs:
            parameters, state, norms, calls = make_parameters(shapes, dtype), {}, [], []
            before = memory()
            for step in range(n_steps):
                if step == 1:  # a different training in between
                    others, their_state = make_parameters([(4,)], dtype), {}
                    for _ in range(2):
                        others[0].grad = torch.ones_like(others[0])
                        shard_step(others, [True], their_state, lr=0.1, max_norm=1.0)
                    del others, their_state
                for i, p in enumerate(parameters):
                    p.grad = None if (i, rank, step) in missing else gradient_of(p.shape, i, rank, step, size, dtype)
                with count_traffic() as traffic:
                    norms.append(shard_step(parameters, list(decays), state, **options))
                calls.append([call[:2] for call in traffic.calls])
            for p in parameters:
                p.grad = None
            # A thread of gloo's lets go of a tensor when it next runs, on a busy machine some time later. Only who holds too much waits for long.
            held, begin = memory() - before, time.monotonic()
            while held > held_at_most(shapes, world_size) and patience > time.monotonic() - begin:
                time.sleep(0.005)
                held = memory() - before
            patience -= time.monotonic() - begin
            kept = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
            with count_traffic() as traffic:
                gathered = gather_state(parameters, state)
            unchanged = set(kept) == set(state) and all(torch.equal(torch.as_tensor(kept[name]), torch.as_tensor(state[name])) for name in kept)
            gathered = None if gathered is None else [{name: entry[name] for name in entry} for entry in gathered]
            addresses = [{t.untyped_storage().data_ptr() for t in things if isinstance(t, torch.Tensor)} for things in (state.values(), [t for entry in gathered or [] for t in entry.values()])]
            found.append({
                "weights": [p.detach() for p in parameters], "norms": [None if norm is None else float(norm) for norm in norms], "calls": calls, "state": kept, "held": held,
                "gathered": gathered, "gather_calls": [call[:2] for call in traffic.calls], "unchanged": unchanged, "shared": bool(addresses[0] & addresses[1]),
            })
        return found

    return run_ranks(work, n)


def train_alone(n, job):
    """The same on one process, by torch.optim.AdamW: weights, norms, and the two averages of each parameter."""
    shapes, decays, n_steps, options, size, dtype, missing = job
    parameters = make_parameters(shapes, dtype)
    options = dict(options)
    max_norm, weight_decay = options.pop("max_norm"), options.pop("weight_decay", 0.1)
    options = {"betas": (0.9, 0.95), **options}
    groups = [{"params": [p], "weight_decay": weight_decay * decay} for p, decay in zip(parameters, decays, strict=True)]
    optimizer = torch.optim.AdamW(groups, **options)
    norms = []
    for step in range(n_steps):
        for i, p in enumerate(parameters):
            p.grad = sum(gradient_of(p.shape, i, rank, step, size, dtype) * ((i, rank, step) not in missing) for rank in range(n)) / n
        norm = torch.cat([p.grad.flatten() for p in parameters]).norm()
        norms.append(norm.item())
        for p in parameters:
            p.grad *= max_norm / norm if norm > max_norm else 1
        optimizer.step()
    averages = [{name: optimizer.state[p][name] for name in ("exp_avg", "exp_avg_sq")} for p in parameters]
    return [p.detach() for p in parameters], norms, averages


@functools.cache
def outcome(n, make):
    """The jobs' reports, or the error: one start of the ranks for all checks that ask for the same jobs."""
    jobs = make()
    try:
        return jobs, probe(train_sharded, n, jobs), None
    except Exception as error:  # kept, so that a deadlock costs its seconds only once
        return jobs, None, error


def runs(n, make):
    """Each job, with what each rank reports about it."""
    jobs, reports, error = outcome(n, make)
    if error is not None:
        raise error
    return [(job, [report[i] for report in reports]) for i, job in enumerate(jobs)]


def job(shapes, decays, n_steps, options, size=1.0, dtype=torch.float64, missing=()):
    """One training; `missing` are the parameters, ranks and steps without a gradient."""
    return shapes, decays, n_steps, {"max_norm": 1e9, **options}, size, dtype, set(missing)


def first_job():
    return [job([(2, 3), (4,)], [True, False], 2, {"lr": 0.1})]


@check(points=1, hint="Average the gradients over the ranks, update your own shard as AdamW does, then gather all shards into the parameters.")
def two_ranks_train_like_adamw():
    """After two steps on two ranks, both hold the weights that torch.optim.AdamW finds on one."""
    [(job, reports)] = runs(2, first_job)
    truth, norms, _ = train_alone(2, job)
    for rank, report in enumerate(reports):
        assert report["norms"][0] is not None, "shard_step returns None: it should return the norm"
        for i, (found, wanted) in enumerate(zip(report["weights"], truth, strict=True)):
            assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5), f"parameter {i} on rank {rank} is {found.flatten().tolist()} instead of {wanted.flatten().tolist()}"
        assert abs(report["norms"][0] - norms[0]) < 1e-4, f"the norm of the averaged gradient is {norms[0]:.4f}; rank {rank} returned {report['norms'][0]:.4f}"


@check(points=1, hint="An all-gather of each average gives the vector; cut it as the parameters were joined.")
def two_ranks_gather_their_state():
    """Afterwards gather_state returns both averages of each parameter, in its shape."""
    [(job, reports)] = runs(2, first_job)
    truth = train_alone(2, job)[2]
    for rank, report in enumerate(reports):
        assert report["gathered"] is not None, "gather_state returns None: is the return missing?"
        assert len(report["gathered"]) == 2, f"there are two parameters; {len(report['gathered'])} entries came back"
        for i, (found, wanted) in enumerate(zip(report["gathered"], truth, strict=True)):
            for name in ("exp_avg", "exp_avg_sq"):
                assert found[name].shape == wanted[name].shape, f"{name} of parameter {i} has the shape {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
                assert torch.allclose(found[name], wanted[name], rtol=1e-4, atol=1e-6), f"{name} of parameter {i} on rank {rank} is {found[name].flatten().tolist()} instead of {wanted[name].flatten().tolist()}"


@check(points=1, hint="16 bytes a parameter without ZeRO. Each stage divides one kind by the number of ranks.")
def memory_of_the_paper():
    """zero_bytes gives the gigabytes that the ZeRO paper (arXiv:1910.02054, table 1) has for 7.5 billion parameters."""
    table = {(1, 1): 120, (1, 2): 120, (1, 3): 120, (4, 1): 52.5, (4, 2): 41.3, (4, 3): 30, (16, 1): 35.6, (16, 2): 21.6, (16, 3): 7.5, (64, 1): 31.4, (64, 2): 16.6, (64, 3): 1.88}
    for (n, stage), wanted in table.items():
        found = zero_bytes(7_500_000_000, n, stage)
        assert found is not None, "zero_bytes returns None: is the return missing?"
        total = sum(found[kind] for kind in ("parameters", "gradients", "optimizer")) / 1e9
        assert abs(total - wanted) < 0.06, f"stage {stage} on {n} ranks takes {wanted} GB a rank, not {total:.2f}"


### BEGIN HIDDEN TESTS
ODD, BIG = [(3, 5), (1,), (), (7, 2), (2, 1, 4)], [(4,), (41, 50), (6,)]  # 38 and 2,060 numbers
SOME = [True, False, False, True, False]


def jobs():
    """Those for which the weights matter, then those for clipping, sizes and traffic."""
    # Clipping with a large eps, so that the size of a gradient matters: all steps above max_norm, some (on two ranks), or none.
    clipping = [job(ODD, [False] * 5, 3, {"lr": 0.1, "eps": 1.0, "max_norm": most}, size) for most, size in ((0.5, 1.0), (2.2, 1.0), (5.0, 0.2))]
    return [
        job(ODD, SOME, 3, {"lr": 0.1}),
        job(ODD, SOME, 2, {"lr": 0.05, "weight_decay": 3.0}, 0.1),
        job(ODD, [True] * 5, 2, {"lr": 0.1, "betas": (0.6, 0.7), "eps": 0.5}),
        job(ODD, SOME, 2, {"lr": 0.1}, dtype=torch.float32),
        *clipping,
        *(job(shapes, [True] * len(shapes), 2, {"lr": 0.1, "max_norm": 1.0}) for shapes in (BIG, [(2048,), (3,)])),
    ]


def delicate_jobs():
    """Those that end many answers with an error. They have a start of their own, so that it costs no other check."""
    return [
        job([(1,)], [True], 2, {"lr": 0.1}),  # fewer numbers than ranks
        job(ODD, SOME, 2, {"lr": 0.1}, missing=[(1, 1, 1), *((0, rank, 0) for rank in range(2))]),
    ]


KINDS = ("several parameters", "a large weight decay for some parameters", "different betas and eps", "parameters of 32 bits", "a small max_norm", "a middling max_norm", "a large max_norm", "many numbers", "many numbers")
DELICATE_KINDS = ("fewer numbers than ranks", "gradients that are None")


def numbered(n, make, first=0, end=None):
    """Some of the runs, with the number of each."""
    return [(number, *run) for number, run in enumerate(runs(n, make))][first:end]


def norm_is_close(n, job, report, tolerance):
    return all(found is not None and abs(found - wanted) <= tolerance * (1 + wanted) for found, wanted in zip(report["norms"], train_alone(n, job)[1], strict=True))


def weights_are_close(n, job, report, tolerance):
    bound = 1e-4 if job[5] == torch.float32 else tolerance
    pairs = zip(report["weights"], train_alone(n, job)[0], strict=True)
    return all(found.shape == wanted.shape and found.dtype == wanted.dtype and torch.allclose(found, wanted, rtol=bound, atol=bound) for found, wanted in pairs)


@check(points=2, hint="The mean over ranks, not the sum. Decay multiplies the weights and belongs to the numbers of certain parameters only, wherever the shards are cut. Both averages are corrected for the number of steps.")
def any_ranks_train_like_adamw():
    """On one to three ranks the weights are AdamW's: parameters of all shapes, cut anywhere, with and without decay, gradients that are missing."""
    for n, make, kinds in [(1, jobs, KINDS), (2, jobs, KINDS), (3, jobs, KINDS), (2, delicate_jobs, DELICATE_KINDS)]:
        for number, job, reports in numbered(n, make, end=4):
            if not all(weights_are_close(n, job, report, 1e-8) for report in reports):
                fail(f"The weights are wrong on {n} ranks, with {kinds[number]}.")


@check(points=1.5, hint="The norm is one number for the whole model: each rank has the squares of its own shard. Add those up over the ranks, then take the root.")
def clips_by_the_global_norm():
    """The norm is that of the whole averaged gradient, on all ranks, and the gradient is clipped by it, or left alone if it is small."""
    for n in (1, 2, 3):
        for number, job, reports in numbered(n, jobs, first=4):
            if not all(norm_is_close(n, job, report, 1e-9) for report in reports):
                fail(f"The returned norm is wrong on {n} ranks.")
            if not all(weights_are_close(n, job, report, 1e-5) for report in reports):
                fail(f"The weights are wrong on {n} ranks, with {KINDS[number]}.")


@check(points=2.5, hint="ceil(P / N) numbers for each average: own shards, not views of whole vectors; and no copies that survive the step.")
def holds_one_shard():
    """The state has two averages of exactly ceil(P / N) numbers, and a rank holds no other memory between steps."""
    for n in (2, 3):
        for (shapes, _, n_steps, _, _, dtype, _), reports in runs(n, jobs):
            size = math.ceil(sum(math.prod(shape) for shape in shapes) / n)
            for report in reports:
                state = report["state"]
                if set(state) != {"step", "exp_avg", "exp_avg_sq"} or int(state["step"]) != n_steps:
                    fail("The state does not hold step, exp_avg and exp_avg_sq, or step is not the number of steps.")
                for name in ("exp_avg", "exp_avg_sq"):
                    if tuple(state[name].shape) != (size,) or state[name].dtype != dtype:
                        fail(f"{name} does not have ceil(P / N) numbers of the parameters' type.")
                if n == 3 and report["held"] > held_at_most(shapes, n):
                    fail(f"On {n} ranks, more memory is held between steps than two averages of one shard.")


@check(points=1.5, hint="reduce_scatter_single for the gradients, all_gather_single for the weights, all_reduce for the sum of squares.")
def sends_as_little_as_ddp():
    """A step is one reduce-scatter, one all-gather and one all-reduce of one number; gather_state uses all-gathers only."""
    for n in (2, 3):
        for (shapes, *_), reports in runs(n, jobs):
            size = math.ceil(sum(math.prod(shape) for shape in shapes) / n)
            for report in reports:
                for calls in report["calls"]:
                    if sorted(tuple(call) for call in calls) != [("all_gather", size), ("all_reduce", 1), ("reduce_scatter", n * size)]:
                        fail("A step sends something else.")
                if not report["gather_calls"] or {name for name, _ in report["gather_calls"]} != {"all_gather"}:
                    fail("gather_state uses something else than all-gathers, or nothing.")
                if sum(elements for _, elements in report["gather_calls"]) > 2 * size:
                    fail("gather_state sends more than its two averages.")


@check(points=1.5, hint="Cut the gathered vector by the parameters' sizes; what is left at its end is nobody's.")
def gathered_state_is_adamws():
    """On one to three ranks gather_state gives each rank the averages that AdamW has, in shape and type and in memory of their own, and leaves the state alone."""
    for n, make in [(1, jobs), (2, jobs), (3, jobs), (2, delicate_jobs)]:
        for _, job, reports in numbered(n, make, end=4):
            truth = train_alone(n, job)[2]
            tolerance = 1e-4 if job[5] == torch.float32 else 1e-9
            for report in reports:
                gathered = report["gathered"]
                if gathered is None or len(gathered) != len(truth) or any(set(entry) != {"exp_avg", "exp_avg_sq"} for entry in gathered):
                    fail("It does not return the two averages for each parameter.")
                for found, wanted in zip(gathered, truth, strict=True):
                    for name, tensor in wanted.items():
                        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
                            fail("An average does not have its parameter's shape and type.")
                        if not torch.allclose(found[name], tensor, rtol=tolerance, atol=tolerance):
                            fail(f"An average is wrong on {n} ranks.")
                if not report["unchanged"]:
                    fail("gather_state changed the state.")
                if report["shared"]:
                    fail("What gather_state returns shares memory with the state.")


@check(points=1, hint="Shards are rounded up. A ring's all-gather, like its reduce-scatter, sends (N - 1) shards; stage 3 has two all-gathers.")
def bytes_of_any_model():
    """zero_bytes is right for all stages, for numbers that the ranks do not divide, and for one rank."""
    cases = [(p, n, stage) for p in (1, 10, 37, 1_000_003, 10**12 + 1) for n in (1, 2, 3, 64, 1000) for stage in range(4)]
    for (p, n, stage), found in zip(cases, probe(lambda cases: [zero_bytes(*case) for case in cases], cases), strict=True):
        shard = next(size for size in (p // n, p // n + 1) if size * n >= p)
        wanted = {"parameters": 2 * p, "gradients": 2 * p, "optimizer": 12 * p}
        for kind, bytes_each in [("optimizer", 12), ("gradients", 2), ("parameters", 2)][:stage]:
            wanted[kind] = bytes_each * shard
        wanted["sent"] = (n - 1) * shard * (6 if stage == 3 else 4)
        if set(found) != set(wanted):
            fail("The result does not have the four entries.")
        for kind, value in wanted.items():
            if found[kind] != value:
                where = "on one rank" if n == 1 else "where the ranks divide the number of parameters" if p % n == 0 else "where the ranks do not divide the number of parameters"
                fail(f"The entry {kind} is wrong for stage {stage}, {where}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### The bill
#
# Your `zero_bytes` for 7.5 billion parameters; on the right, what your `shard_step` holds for the course's GPT, counted after a step. **Predict:** from 8 to 64 devices, which stage gains most?

# %% tags=["demo", "raises-exception"]
def draw_memory(n_parameters: int = 7_500_000_000, devices: tuple[int, ...] = (8, 64)) -> None:
    def work(rank, world_size):
        model, state = lesson.gpt(own=False).model, {}
        parameters = list(model.parameters())
        for p in parameters:
            p.grad = torch.ones_like(p)
        with count_traffic() as traffic:
            shard_step(parameters, [p.dim() > 1 for p in parameters], state, lr=1e-3, max_norm=1.0)
        held = sum(value.untyped_storage().nbytes() for value in state.values() if isinstance(value, torch.Tensor))
        return held / 1e6, traffic.names

    ranks = (1, 2, 3, 4)
    try:
        bills = {n: [zero_bytes(n_parameters, n, stage) for stage in range(4)] for n in devices}
        measured = [max(held for held, _ in run_ranks(work, n)) for n in ranks]
    except NotImplementedError:
        print("This figure needs shard_step and zero_bytes. Write them first.")
        return
    _, axes = plt.subplots(1, len(devices) + 1, figsize=(9.7, 3.1))
    top = sum(bills[devices[0]][0][kind] for kind in ("parameters", "gradients", "optimizer")) / 1e9
    for ax, n in zip(axes, devices, strict=False):
        below = np.zeros(4)
        for kind, colour in (("parameters", "C0"), ("gradients", "C1"), ("optimizer", "C2")):
            height = np.array([bill[kind] / 1e9 for bill in bills[n]])
            ax.bar(range(4), height, 0.75, bottom=below, color=colour, label=kind)
            below += height
        for stage, (total, bill) in enumerate(zip(below, bills[n], strict=True)):
            ax.text(stage, total + top * 0.02, f"{total:.3g}\n({bill['sent'] / 1e9:.3g})", ha="center", va="bottom", fontsize=8.5)
        ax.axhline(80, color="0.4", ls="--", lw=1)
        ax.set(title=f"{n} devices: GB on each (GB sent)", ylim=(0, top * 1.25))
        ax.set_xticks(range(4), ["DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"], fontsize=8.5)
        ax.grid(axis="x", visible=False)
    axes[0].legend(fontsize=8.5, loc="upper right")
    axes[-1].plot(ranks, measured, "o", color="C2", ms=7, label="measured")
    axes[-1].plot(ranks, [measured[0] / n for n in ranks], color="0.5", lw=1, label="first point / N")
    axes[-1].set(title="The course's GPT: MB of state", xlabel="ranks", ylim=(0, measured[0] * 1.2), xticks=ranks)
    axes[-1].legend(fontsize=8.5)
    plt.show()


draw_memory()

# %% [markdown]
# The dashed line is a device with 80 GB. DDP never fits. Stage 1 needs 41.2 GB on 8 devices: most of the bill was the optimizer. From 8 to 64, stage 3 falls from 15 GB to 1.88, stage 1 only from 41.2 to 31.4: what it does
# not shard stays.
#
# *Is ZeRO model parallelism?* No: every rank still computes the whole model, on its own rows.
#
# ### FSDP, seen at work
#
# PyTorch's `fully_shard` is stage 3. One training step of three blocks, in order:

# %% tags=["demo", "shown"]
def fsdp_step(rank, world_size):
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)))
    for block in model:
        fully_shard(block)
    fully_shard(model)
    with count_traffic() as traffic:
        model(torch.randn(4, 8)).sum().backward()
    return traffic.names


print(" ".join(run_ranks(fsdp_step, 2)[0]))

# %% [markdown]
# Three gathers go forward. Then two more come before the first reduce-scatter: while one block's gradient is computed, the next block's parameters are already on their way. Nine collectives; DDP sends as much as six.
#
# **Change, predict, run.** `draw_memory(70_000_000_000)`: which stages fit into 80 GB?
#
# <details><summary>Answer</summary>
#
# On 8 devices none; stage 3 needs 140 GB. On 64 stage 3 alone, 17.5 GB. Stage 2 keeps 140 GB of parameters everywhere.
# </details>
