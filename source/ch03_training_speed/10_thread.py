# %% [markdown]
# ## 3.10 The same training, made faster
#
# Your small GPT of section 1.5 was trained in 2,400 steps of 16 windows. What does each idea of this chapter change there? Seconds depend on the machine, so we count. A step has three bills: **operations**; the most **bytes kept** at a time for the backward pass;
# and **bytes that stay** from step to step: weights, gradients, and the optimizer's memory. Beside them stands how far the gradient moves: is it still the same training?
#
# **Predict**, for each row, which bars will move.

# %% tags=["demo"]
def draw_bills(batch=16, **sizes):
    from torch.utils.checkpoint import checkpoint
    from torch.utils.flop_counter import FlopCounterMode

    from autograder import gpt

    tokenizer = lesson.gpt(own=False).tokenizer
    ids = torch.tensor(tokenizer.encode(lesson.corpus()[0]))
    windows = ids[: batch * (gpt.CONTEXT + 1)].view(batch, -1).clone()

    def attention(query, key, *_, **__):
        (b, heads, t, width), s = query, key[2]
        return 4 * b * heads * t * s * width  # two products: the scores, and the sums of values

    def attention_backward(_, query, key, *__, **___):
        return attention(query, key) // 2 * 5  # five such products

    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # the counter of torch 2.13 has no formula for it
    formulas = {on_cpu: attention, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward}

    def step(checkpointed=False, low=False, pieces=1, make=None):
        """Operations, largest number of bytes kept, bytes that stay, and the gradient, of one step."""
        torch.manual_seed(0)
        model = gpt.GPT(len(tokenizer), **sizes)
        if checkpointed:
            for block in model.blocks:
                block.forward = lambda x, inner=block.forward: checkpoint(inner, x, use_reentrant=True)
        optimizer = make(model.parameters()) if make else gpt.make_optimizer(model, 2400)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        uses, size, peak = {}, 0, 0

        class Kept:
            """A tensor, as long as it is kept for the backward pass."""

            def __init__(self, tensor):
                nonlocal size, peak
                self.tensor, self.place = tensor, tensor.untyped_storage().data_ptr()
                uses[self.place] = uses.get(self.place, 0) + 1
                if uses[self.place] == 1 and self.place not in weights:
                    size += tensor.untyped_storage().nbytes()
                    peak = max(peak, size)

            def __del__(self):
                nonlocal size
                uses[self.place] -= 1
                if uses[self.place] == 0 and self.place not in weights:
                    size -= self.tensor.untyped_storage().nbytes()

        counter = FlopCounterMode(display=False, custom_mapping=formulas)
        with counter, torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            for part in windows.chunk(pieces):
                with torch.autocast("cpu", torch.bfloat16, enabled=low):
                    loss = F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())
                (loss / pieces).backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        optimizer.step()
        state = sum(value.nbytes for entry in optimizer.state.values() for value in entry.values() if torch.is_tensor(value))
        return counter.get_total_flops(), peak, state + sum(p.nbytes + p.grad.nbytes for p in model.parameters()), gradient

    rows = {
        "as in section 1.5": step(),
        "blocks checkpointed": step(checkpointed=True),
        "bfloat16 by autocast": step(low=True),
        "4 × 4 windows, accumulated": step(pieces=4),
        "SGD instead of AdamW": step(make=lambda ps: torch.optim.SGD(ps, lr=0.1)),
        "rows 2, 3 and 4 together": step(checkpointed=True, low=True, pieces=4),
    }
    plain = rows["as in section 1.5"][3]
    fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.0), sharey=True)
    titles = [("operations", 1e9, "billions a step"), ("bytes kept, at most", 1e6, "MB"), ("bytes that stay", 1e6, "MB")]
    for ax, (title, unit, label), values in zip(axes, titles, list(zip(*rows.values(), strict=True))[:3], strict=True):
        bars = ax.barh(range(len(rows)), [value / unit for value in values], color=["0.6"] + ["C0"] * (len(rows) - 1), height=0.65)
        ax.bar_label(bars, fmt="%.2f" if unit == 1e9 else "%.1f", padding=3, fontsize=8.5)
        ax.set(title=title, xlabel=label, xlim=(0, 1.25 * max(values) / unit))
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(rows)), labels=rows, fontsize=9)
    axes[0].invert_yaxis()
    moved = axes[2].secondary_yaxis("right")
    far = [float((gradient - plain).norm() / plain.norm()) for *_, gradient in rows.values()]
    moved.set_yticks(range(len(rows)), labels=["0" if share == 0 else "rounding" if share < 1e-5 else f"{share:.1%}" for share in far], fontsize=8.5)
    moved.set_ylabel("gradient moves by", fontsize=9)
    moved.spines[:].set_visible(False)
    moved.tick_params(length=0)
    plt.show()


draw_bills()

# %% [markdown]
# - **Checkpointing** pays for bytes with operations: a good quarter more here, not a third, as the output layer runs once.
# - **bfloat16** leaves the count of operations, the weights and AdamW's memory as they are. It does not halve what is kept, as norms and the loss stay in 32 bits.
# - **Accumulation** divides what is kept by four, up to rounding, and does nothing else.
# - **The optimizer** alone changes the third bill: with AdamW 16 bytes for each parameter, with plain SGD 8.
#
# The last row keeps 6 % of the bytes. That buys room for a larger model or batch, not speed, unless the hardware is faster in bfloat16.
#
# "AdamW lowers the cost of computing"? A step costs more memory, and more work than the first bar shows, as only matrix products are counted. What they may save is *steps*. On BERT they do (Zhang et al., arXiv:1912.03194). Our model, after 500 steps of 8 windows, is at 4.2 nats
# with AdamW and at 4.1 with SGD and momentum (three seeds; each with the best of four rates or more, and the same schedule and clipping).
#
# Two things have no bar. A **cache** does nothing in training, where all positions are computed at once; when this model writes 64 tokens, it saves 32 of 33 operations (section 3.9). And `torch.compile(model)` computes the same products, but joins
# neighbouring small operations, so that fewer results travel to memory and back. (Only shown here: it needs a C++ compiler and a slow first step.)
#
# ### Feeding it
#
# "Pre-processing and augmentation reduce training time"? They are work, for each sample in each epoch. What helps is to do it elsewhere, earlier, or once (not to be run):
#
# ```python
# DataLoader(pages, batch_size=16, shuffle=True, num_workers=2, prefetch_factor=2)                     # PyTorch: 2 a worker
# files.map(read).cache().shuffle(2000).map(augment, num_parallel_calls=2).batch(16).prefetch(2)      # tf.data: 2 in all, as below
# ```
#
# `cache` keeps what `read` gives in the first epoch. It stands before `augment`: behind it, each epoch would see the same augmented samples. **Predict:** with these durations, which arrangements let the model work without a pause?

# %% tags=["demo"]
def draw_pipelines(read=2, augment=3, train=4, n_batches=6):
    """When which batch is read, augmented and trained on: a calculation with given durations, no measurement."""
    arrangements = {"one after another": (0, False), "1 worker, prefetch": (1, False), "2 workers, prefetch": (2, False), "1 worker, prefetch, cache": (1, True)}
    colours = {"read": ("C4", "//"), "augment": ("C1", ".."), "train": ("C0", "")}
    _, ax = plt.subplots(figsize=(9.3, 3.9))
    y, places, names = 0, [], []
    for title, (workers, cached) in arrangements.items():
        lanes = [f"worker {i + 1}" for i in range(workers)] + ["model"]
        free, started = [0] * max(workers, 1), []
        for batch in range(n_batches):
            worker, room = batch % max(workers, 1), started[batch - 2] if batch > 1 and workers else 0  # at most two batches ready
            ready = max(free[worker], room)
            bars = []
            for what, length in [("read", 0 if cached else read), ("augment", augment)]:
                bars.append((what, ready, length))
                ready += length
            begin = max(ready, started[-1] + train if started else 0)
            started.append(begin)
            free[worker] = ready if workers else begin + train
            for what, start, length in bars:
                ax.barh(y + worker, length, left=start, height=0.8, color=colours[what][0], hatch=colours[what][1], edgecolor="white")
            ax.barh(y + len(lanes) - 1, train, left=begin, height=0.8, color="C0", edgecolor="white")
            ax.text(begin + train / 2, y + len(lanes) - 1, str(batch + 1), ha="center", va="center", color="white", fontsize=9)
        end = started[-1] + train
        ax.text(end + 0.4, y + len(lanes) - 1, f"{end}", va="center", fontsize=9)
        ax.text(0, y - 0.95, title, fontsize=9.5, va="center")
        places += [y + i for i in range(len(lanes))]
        names += lanes
        y += len(lanes) + 1.2
    for what, (colour, hatch) in colours.items():
        ax.barh(0, 0, color=colour, hatch=hatch, edgecolor="white", label=what)
    ax.set_yticks(places, labels=names, fontsize=8.5)
    ax.set(xlabel="time, in arbitrary units", ylim=(y - 0.5, -1.6), title=f"{n_batches} batches: read {read}, augment {augment}, train {train}")
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=8.5, loc="lower right")
    plt.show()


draw_pipelines()

# %% [markdown]
# Two workers do, or one with a cache. Workers and prefetching **hide** the work behind the model's, a cache (here in a later epoch) **removes** some. Once the model never waits, more workers buy nothing.
#
# **Change, predict, run.** A better GPU halves the training: `draw_pipelines(train=2)`. How much faster are the four arrangements?
#
# <details><summary>Answer</summary>
#
# 42, 32, 19 and 20 units instead of 54, 34, 29 and 27: the second gains almost nothing. Now the pipeline is what limits it.
# </details>
