# %% [markdown]
# ## 1.10 Recurrence and convolution
#
# Attention is one of three ways to let positions exchange information. The other two are older, and cheaper on long sequences. The figure
# shows one path from the first input to the last output in orange. **Guess:** from which of the three will a gradient come back best?

# %% tags=["demo"]
def three_ways(n=8):
    """How an input reaches the output n - 1 positions later, in three kinds of layers."""
    def line(ax, start, end, on_path):
        color, width = ("C5", 2.2) if on_path else ("C4", 1.0)
        style = dict(arrowstyle="-|>", color=color, lw=width, shrinkA=5, shrinkB=5, mutation_scale=9, zorder=2 + on_path)
        ax.add_patch(plt.matplotlib.patches.FancyArrowPatch(start, end, **style))

    _, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
    last = n - 1
    for t in range(n):  # recurrent: up into the state, and along it
        line(axes[0], (t, 0), (t, 1.5), t == 0)
        if t:
            line(axes[0], (t - 1, 1.5), (t, 1.5), True)
    line(axes[0], (last, 1.5), (last, 3), True)
    needed, path = {last}, last  # convolutions of kernel 2: from the top down
    for level, dilation in [(2, 4), (1, 2), (0, 1)]:
        for t in needed:
            line(axes[1], (t, level), (t, level + 1), False)
            line(axes[1], (t - dilation, level), (t, level + 1), t == path)
        needed |= {t - dilation for t in needed}
        path -= dilation
    for t in range(n):
        line(axes[2], (t, 0), (last, 3), t == 0)
    steps = math.ceil(math.log2(n))
    titles = [f"Recurrent: {last} steps along the state", f"Dilated convolutions: {steps} layers", "Attention: 1 step"]
    for ax, levels, title in zip(axes, ([0, 1.5, 3], [0, 1, 2, 3], [0, 3]), titles, strict=True):
        for level in levels:
            ax.plot(range(n), [level] * n, "o", ms=7, color="white", markeredgecolor="0.35", zorder=4)
        ax.set(xticks=range(n), yticks=levels, xlim=(-0.5, last + 0.5), ylim=(-0.35, 3.35), xlabel="position", title=title)
        ax.grid(False)
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
    axes[0].set_yticklabels(["inputs", "states", "outputs"])
    axes[1].set_yticklabels(["inputs", "dilation 1", "dilation 2", "dilation 4"], fontsize=8.5)
    axes[2].set_yticklabels(["inputs", "outputs"])
    plt.show()


three_ways()

# %% [markdown]
# ### A state that is passed on
#
# A **recurrent** network updates a state with the same weights at every step: $h_t = \tanh(W x_t + U h_{t-1} + b)$. (A *recursive* one
# applies them upwards along a tree.) The influence of a state on one $k$ steps later is a product of $k$ Jacobians, the latest leftmost:
#
# $$\frac{\partial h_t}{\partial h_{t-k}} = \prod_{s=t-k+1}^{t} \mathrm{diag}(1 - h_s^2)\, U .$$
#
# If the largest singular value $\lambda$ of $U$ is below 1, it falls at least as fast as $\lambda^k$: it **vanishes**. With $\lambda > 1$ it may explode (Pascanu et al., arXiv:1211.5063).
#
# The **LSTM** (Hochreiter and Schmidhuber, 1997; its forget gate: Gers et al., 2000) keeps a second state, the **cell** $c_t$, that no matrix multiplies. One sum, four times as wide as the cell, is cut into four parts:
#
# $$\begin{gathered}
# (s_i, s_f, s_g, s_o) = W x_t + a + U h_{t-1} + b, \\
# i = \sigma(s_i), \quad f = \sigma(s_f), \quad o = \sigma(s_o), \quad g = \tanh(s_g), \\
# c_t = f \odot c_{t-1} + i \odot g, \quad h_t = o \odot \tanh(c_t).
# \end{gathered}$$
#
# The **gates** $i$, $f$ and $o$ (input, forget, output) decide entry by entry what is written, kept and shown; $g$ is the candidate.

# %% tags=["demo"]
def lstm_picture():
    """The inside of an LSTM cell."""
    _, ax = plt.subplots(figsize=(8.2, 3.1))
    ax.add_patch(plt.Rectangle((0.75, 0.5), 8.1, 3.75, facecolor="0.97", edgecolor="0.6", ls="--"))

    def arrow(*points):
        ax.plot(*zip(*points[:-1], strict=True), color="0.3", lw=1.2, zorder=1)
        ax.annotate("", points[-1], points[-2], arrowprops=dict(arrowstyle="->", color="0.3", lw=1.2))

    def node(x, y, text, color, width=0.8):
        ax.add_patch(plt.Rectangle((x - width / 2, y - 0.27), width, 0.54, facecolor=color, edgecolor="0.3", zorder=2))
        ax.text(x, y, text, ha="center", va="center", fontsize=9.5, zorder=3)

    def joint(x, y, text):
        ax.plot(x, y, "o", ms=17, color="white", markeredgecolor="0.3", zorder=5)
        ax.text(x, y - 0.02, text, ha="center", va="center", fontsize=12, zorder=6)

    ax.annotate("", (9.6, 3.7), (0, 3.7), arrowprops=dict(arrowstyle="->", color="C5", lw=3))  # the cell
    gate, squash = "#cfe3f2", "#fbe3b5"
    ax.plot([0.2, 6.4], [0.95, 0.95], color="0.3", lw=1.2)  # h and x, on their way to the gates
    for x, text, color in [(2, "$f$   σ", gate), (3.4, "$i$   σ", gate), (4.8, "$g$  tanh", squash), (6.4, "$o$   σ", gate)]:
        arrow((x, 0.95), (x, 1.45))
        node(x, 1.75, text, color, 1.05)
    arrow((2, 2.05), (2, 3.42))
    arrow((3.4, 2.05), (3.4, 2.7), (3.82, 2.7))
    arrow((4.8, 2.05), (4.8, 2.7), (4.38, 2.7))
    arrow((4.1, 2.95), (4.1, 3.42))
    arrow((7.7, 3.7), (7.7, 3.2))
    node(7.7, 2.9, "tanh", squash)
    arrow((7.7, 2.6), (7.7, 2.04))
    arrow((6.95, 1.75), (7.42, 1.75))
    arrow((7.98, 1.75), (9.6, 1.75))
    for x, y, text in [(2, 3.7, "×"), (4.1, 2.7, "×"), (4.1, 3.7, "+"), (7.7, 1.75, "×")]:
        joint(x, y, text)
    for x, y, text, side in [(-0.1, 3.7, "$c_{t-1}$", "right"), (9.7, 3.7, "$c_t$", "left"), (0.1, 0.95, "$h_{t-1},\\ x_t$", "right"),
                             (9.7, 1.75, "$h_t$", "left")]:
        ax.text(x, y, text, fontsize=12, ha=side, va="center")
    ax.text(5.9, 3.93, "no matrix on this way", fontsize=8.5, color="C5", ha="center")
    ax.set(xlim=(-1.3, 10.4), ylim=(0.4, 4.35), aspect="equal")
    ax.axis("off")
    plt.show()


lstm_picture()

# %% [markdown]
# Along the orange way, $\partial c_t / \partial c_{t-1}$ is $\mathrm{diag}(f)$: a forget gate at 1 lets a gradient pass; one at 0.5 halves it.
#
# PyTorch's `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh` are $W$, $U$, $a$ and $b$.
#
# ### A window that grows
#
# A **causal convolution** with kernel size $k$ and **dilation** $\delta$ computes each output from $k$ inputs, $\delta$ steps apart, none of them in the future:
#
# $$y_t = b + \sum_{j=0}^{k-1} W_j\, x_{t - (k-1-j)\,\delta}, \qquad x_s = 0 \text{ for } s < 0 .$$
#
# So $(k-1)\,\delta$ zeros **on the left** keep the length. A stack sees $R = 1 + (k-1) \sum_{\ell} \delta_\ell$ positions, its **receptive field**, and nothing beyond.
# Ten layers with $k=2$ see 11 positions if all $\delta = 1$, and 1,024 if $\delta$ doubles from 1 to 512: WaveNet's pattern (arXiv:1609.03499). Such
# stacks did better than LSTMs on many sequence tasks (Bai et al., arXiv:1803.01271).
#
# ### What each of them costs
#
# At length $n$ and width $d$, self-attention takes $O(n^2 d)$ operations, a recurrent layer $O(n\,d^2)$, a convolution $O(k\,n\,d^2)$ (Vaswani et al., table 1).
# A GPU computes convolution and attention at all positions at once; a recurrent layer waits for each state. (Newer ones, linear in
# their state, use a parallel scan: Mamba, arXiv:2312.00752.) To write text, a recurrent layer keeps one state, a convolution $(k-1)\,\delta$ inputs, attention everything so far.

# %% tags=["demo"]
def what_layers_cost(d=1024, k=3):
    """FLOPs of one forward pass through one layer, and steps between the ends, by length."""
    lengths = np.logspace(2, 5, 40)
    flops = lambda n: {  # two for each multiplication with a weight, as in 1.11
        "LSTM": 2 * 8 * n * d**2,
        f"convolution, $k={k}$": 2 * k * n * d**2,
        "self-attention": 2 * 4 * n * d**2 + 4 * n**2 * d,
    }
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
    for (name, values), color in zip(flops(lengths).items(), ("C0", "C1", "C2"), strict=True):
        axes[0].plot(lengths, values, color=color, label=name)
    axes[0].plot(2 * d, flops(2 * d)["LSTM"], "o", color="black", ms=5)
    axes[0].annotate("$n = 2d$", (2 * d, flops(2 * d)["LSTM"]), xytext=(-6, 7), textcoords="offset points", ha="right")
    axes[0].set(xscale="log", yscale="log", xlabel="length $n$ (positions)", ylabel="FLOPs of one layer", title=f"Operations at width $d={d}$")
    for name, steps, color in [
        ("recurrent: $n - 1$ steps along the state", lengths - 1, "C0"),
        ("convolutions, $k=3$, without dilation: layers", np.ceil((lengths - 1) / 2), "C5"),
        ("convolutions, $k=3$, dilations 1, 3, 9, …: layers", np.ceil(np.log(lengths) / np.log(3)), "C1"),
        ("self-attention", np.ones_like(lengths), "C2"),
    ]:
        axes[1].plot(lengths, steps, color=color, label=name, ls="--" if color == "C5" else "-")
    axes[1].set(xscale="log", yscale="log", ylim=(0.6, 1e8), xlabel="length $n$ (positions)", ylabel="steps", title="From the first input to the last output")
    for ax in axes:
        ax.legend(loc="upper left", fontsize=8.5, frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    plt.show()
    longer = flops(100_000)
    print("100 times the length costs", ", ".join(f"{name.split(',')[0]}: {longer[name] / value:.0f} times" for name, value in flops(1000).items()))


what_layers_cost()

# %% [markdown]
# ### Exercise 1.10 · Two layers for sequences
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **11 points** · PyTorch
#
# **Write** four short functions. `lstm_step` and `lstm` take PyTorch's weights, such as `list(nn.LSTM(d, m).parameters())`; `causal_conv` and
# `causal_stack` take weights in the layout of `nn.Conv1d`. All work in `float32` and `float64`, return the dtype of their inputs, do not change their arguments, and pass gradients on to all of them.
# **The checks make all of PyTorch's own LSTMs and convolutions fail.**

# %% nbgrader={"grade": false, "grade_id": "setup_sequence_layers", "locked": true, "schema_version": 3, "solution": false, "task": false}
def receptive_field(kernel: int, dilations: list[int]) -> int:
    """How many positions an output of a causal stack can see, the present included.

    >>> receptive_field(3, [1, 2])
    7
    """
    return 1 + (kernel - 1) * sum(dilations)


def gradient_by_distance(model, x: torch.Tensor) -> torch.Tensor:
    """How strongly the last output depends on each input of a sequence x, (1, T, d).

    Entry k of the result, (T,), is the Frobenius norm of the d_out x d matrix of derivatives of the
    last output with respect to the input k positions before it.

    >>> gradient_by_distance(lambda x: x.cumsum(dim=1) * 3, torch.randn(1, 4, 1))
    tensor([3., 3., 3., 3.])
    """
    jacobian = torch.autograd.functional.jacobian(lambda inputs: model(inputs)[0, -1], x)
    return jacobian[:, 0].norm(dim=(0, 2)).flip(0)

# %% nbgrader={"grade": false, "grade_id": "sequence_layers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lstm_step(
    x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of an LSTM, for a batch.

    Args:
        x: the inputs at this position, (batch, d).
        h, c: the state and the cell before the step, (batch, m) each.
        weights: weight_ih (4m, d), weight_hh (4m, m), bias_ih (4m,) and bias_hh (4m,), a list or a
            tuple. Each consists of four blocks of m rows: input gate, forget gate, candidate,
            output gate.

    Returns:
        The state and the cell after the step, (batch, m) each. Values and gradients are correct for
        gates that are wide open or shut, too.
    """
    ### BEGIN SOLUTION
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    sums = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
    i, f, g, o = sums.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
    ### END SOLUTION


def lstm(
    x: torch.Tensor,
    weights: list[torch.Tensor],
    state: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """An LSTM over whole sequences.

    Args:
        x: (batch, T, d) with T of at least 1.
        weights: as in lstm_step.
        state: h and c before the first position, (batch, m) each; None: both are zero.

    Returns:
        All states h, (batch, T, m), and a pair: h and c after the last position, (batch, m) each.
        (A call with the next part of the sequences and this pair goes on where this call ended.)
    """
    ### BEGIN SOLUTION
    if state is None:
        zeros = x.new_zeros(x.shape[0], weights[1].shape[1])
        state = (zeros, zeros)
    h, c = state
    outputs = []
    for x_t in x.unbind(dim=1):
        h, c = lstm_step(x_t, h, c, weights)
        outputs.append(h)
    return torch.stack(outputs, dim=1), (h, c)
    ### END SOLUTION


def causal_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1
) -> torch.Tensor:
    """A causal convolution: output t is computed from the inputs t, t - dilation, t - 2 dilation,
    ...

    Args:
        x: (batch, T, d), finite, with T of at least 1; inputs before the first count as zero.
        weight: (d_out, d, kernel); the last tap, weight[:, :, -1], belongs to input t.
        bias: (d_out,).
        dilation: the distance of two taps, at least 1.

    Returns:
        (batch, T, d_out): as long as the input, also where T is smaller than the window.
    """
    ### BEGIN SOLUTION
    length, kernel = x.shape[1], weight.shape[2]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    taps = [padded[:, j * dilation : j * dilation + length] @ weight[:, :, j].T for j in range(kernel)]
    return sum(taps) + bias
    ### END SOLUTION


def causal_stack(
    x: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor, int]]
) -> torch.Tensor:
    """Causal convolutions one after the other, with ReLU between them and none after the last.

    Args:
        x: (batch, T, d).
        layers: at least one; for each, its weight, bias and dilation, as in causal_conv. For each
            layer anew, what lies before its first input counts as zero.

    Returns:
        (batch, T, d_out of the last layer).
    """
    ### BEGIN SOLUTION
    for index, (weight, bias, dilation) in enumerate(layers):
        x = causal_conv(F.relu(x) if index > 0 else x, weight, bias, dilation)
    return x
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_sequence_layers", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)

LIBRARY_LAYERS = tuple(f"torch.nn.{name}.{method}" for name in ("LSTM", "LSTMCell") for method in ("__init__", "forward"))
THEIR_OPERATIONS = ("*lstm*", "*conv*")  # torch's, under whatever name they are called


@check(points=1, hint="The four blocks are input gate, forget gate, candidate, output gate. The new state takes the tanh of the new cell.")
def gates_open_and_shut():
    """Gates that are open or shut keep, overwrite, add to, erase or hide the cell."""
    no_weights, nothing, half = torch.zeros(4, 1), torch.zeros(1, 1), torch.full((1, 1), 0.5)
    opened, shut, candidate = 20.0, -20.0, 1.0
    for case, i, f, o, new_cell in [
        ("forget gate open, input gate shut: the cell is kept", shut, opened, opened, 0.5),
        ("forget gate shut, input gate open: the cell is overwritten", opened, shut, opened, math.tanh(1)),
        ("forget and input gate open: the cell is added to", opened, opened, opened, 0.5 + math.tanh(1)),
        ("forget and input gate shut: the cell is erased", shut, shut, opened, 0.0),
        ("output gate shut: the state is zero, the cell is not", shut, opened, shut, 0.5),
    ]:
        new_state = math.tanh(new_cell) if o > 0 else 0.0
        bias = torch.tensor([i, f, candidate, o])
        pair = lstm_step(nothing, nothing, half, [no_weights, no_weights, bias, torch.zeros(4)])
        assert pair is not None, "lstm_step returns None: is the return missing?"
        h, c = pair
        assert h.shape == c.shape == (1, 1), f"shapes {tuple(h.shape)} and {tuple(c.shape)} instead of (1, 1)"
        assert abs(float(c) - new_cell) < 1e-4, f"{case}; from 0.5 and the candidate tanh(1), it becomes {new_cell:.3f}, yours {float(c):.3f}"
        assert abs(float(h) - new_state) < 1e-4, f"{case}; the state is {new_state:.3f}, yours {float(h):.3f}"


@check(points=1, hint="(kernel - 1) * dilation zeros on the left, none on the right. The last tap meets the present.")
def answers_an_impulse():
    """A layer answers an impulse with its taps, the last one first, and never before it comes."""
    impulse = torch.zeros(1, 7, 1)
    impulse[0, 1] = 1
    for dilation, answer in [(1, [0, 3, 2, 1, 0, 0, 0]), (2, [0, 3, 0, 2, 0, 1, 0])]:
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            output = causal_conv(impulse, torch.tensor([[[1.0, 2.0, 3.0]]]), torch.zeros(1), dilation)
        assert output is not None, "causal_conv returns None: is the return missing?"
        assert output.shape == (1, 7, 1), f"output of shape {tuple(output.shape)} instead of (1, 7, 1)"
        found = [round(y, 3) for y in output.flatten().tolist()]
        assert found == answer, f"kernel [1, 2, 3], dilation {dilation}, impulse at position 1: {answer}, yours {found}"


@check(points=1, hint="Positions are the second axis: x.unbind(dim=1). Each step starts from the pair that the step before returned.")
def carries_the_state_along():
    """Over sequences, lstm returns all states and the last pair, and a second call with that pair goes on."""
    layer = nn.LSTM(2, 4, batch_first=True)
    weights, x = [parameter.detach() for parameter in layer.parameters()], torch.randn(3, 5, 2)
    truth, (h, c) = (part if isinstance(part, tuple) else part.detach() for part in layer(x))
    with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
        result = lstm(x, weights)
    assert result is not None, "lstm returns None: is the return missing?"
    output, pair = result
    assert output.shape == (3, 5, 4), f"for x of shape (3, 5, 2) and a state of width 4, the states have shape {tuple(output.shape)} instead of (3, 5, 4)"
    for name, part, right in zip("hc", pair, (h, c), strict=True):
        assert part.shape == (3, 4), f"{name} after the last position has shape {tuple(part.shape)} instead of (3, 4)"
        assert torch.allclose(part, right[0], atol=1e-5), f"{name} after the last position is not that of nn.LSTM"
    wrong = (output - truth).abs().amax((0, 2)) > 1e-5
    assert not wrong.any(), f"the states differ from those of nn.LSTM, first at position {int(wrong.nonzero()[0, 0])}"
    rest, _ = lstm(x[:, 2:], weights, lstm(x[:, :2], weights)[1])
    assert torch.allclose(rest, truth[:, 2:], atol=1e-5), "a call with the pair of another call does not go on where that one ended"


@check(points=1, hint="ReLU stands between two layers: not before the first and not after the last. Each layer has its own dilation.")
def puts_relu_between():
    """A stack applies its layers one after the other, with ReLU between them only."""
    x = torch.tensor([1.0, -2.0, 3.0, 0.0])[None, :, None]
    layers = [(torch.tensor([[[-1.0]]]), torch.zeros(1), 1), (torch.tensor([[[1.0, 10.0]]]), torch.tensor([-5.0]), 2)]
    for n, answer in [(1, [-1, 2, -3, 0]), (2, [-5, 15, -5, -3])]:
        output = causal_stack(x, layers[:n])
        assert output is not None, "causal_stack returns None: is the return missing?"
        assert output.shape == x.shape, f"output of shape {tuple(output.shape)} instead of {tuple(x.shape)}"
        found = [round(y, 3) for y in output.flatten().tolist()]
        what = "kernel [-1]" + ", then kernel [1, 10] with dilation 2 and bias -5" * (n == 2)
        assert found == answer, f"{what}: of the inputs 1, -2, 3, 0 comes {answer}, yours {found}"


### BEGIN HIDDEN TESTS
def agrees(answer, truth):
    """Same shape and dtype, and equal within what rounding can explain."""
    tolerance = 1e-9 if truth.dtype == torch.float64 else 1e-5
    return answer.shape == truth.shape and answer.dtype == truth.dtype and torch.allclose(answer, truth, rtol=tolerance, atol=tolerance)


def unchanged(before, after):
    """Fails if an argument was changed; `before` and `after` are lists of tensors."""
    if not all(torch.equal(x, y) for x, y in zip(before, after, strict=True)):
        fail("The tensors passed in were modified: the caller may still need them.")


def redrawn(layer):
    """A layer of torch with larger weights, all biases different from each other, and these weights as a list."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return layer, [parameter.detach().clone() for parameter in layer.parameters()]


@check(points=1, hint="sigmoid for the three gates, tanh for the candidate and for the cell that is shown; both biases are added.")
def step_agrees_with_lstm_cell():
    """One step agrees with nn.LSTMCell for any batch and widths, in float32 and float64."""
    def run(x, h, c, weights):
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            new_h, new_c = lstm_step(x, h, c, weights)
        return new_h.detach(), new_c.detach(), [x, h, c, *weights]

    for dtype in (torch.float32, torch.float64):
        for batch, d, m in [(1, 1, 1), (2, 3, 5), (4, 8, 2), (3, 4, 4), (8, 2, 2)]:
            cell, weights = redrawn(nn.LSTMCell(d, m, dtype=dtype))
            x, h, c = (torch.randn(batch, width, dtype=dtype) for width in (d, m, m))
            with torch.no_grad():
                true_h, true_c = cell(x, (h, c))
            new_h, new_c, after = probe(run, x.clone(), h.clone(), c.clone(), [w.clone() for w in weights])
            unchanged([x, h, c, *weights], after)
            where = f"for a batch of {batch}, inputs of width {d}, a state of width {m} and {dtype}"
            if not agrees(new_c, true_c):
                fail(f"The new cell is wrong {where}.")
            if not agrees(new_h, true_h):
                fail(f"The new cell is right, the new state is not, {where}.")


@check(points=2, hint="Positions are the second axis. Each step starts from the state and the cell of the step before; zeros need the dtype of x.")
def sequence_agrees_with_lstm():
    """Over a sequence, all states and the final pair agree with nn.LSTM, from a given state or from zeros."""
    def run(x, weights, state):
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            output, (h, c) = lstm(x, weights) if state is None else lstm(x, weights, state)
        return output.detach(), h.detach(), c.detach(), [x, *weights, *(state or ())]

    for dtype in (torch.float32, torch.float64):
        for batch, length, d, m in [(2, 5, 3, 4), (5, 2, 3, 4), (4, 4, 4, 4), (1, 1, 2, 3), (3, 8, 1, 2)]:
            layer, weights = redrawn(nn.LSTM(d, m, batch_first=True, dtype=dtype))
            x = torch.randn(batch, length, d, dtype=dtype)
            given = (torch.randn(batch, m, dtype=dtype), torch.randn(batch, m, dtype=dtype))
            for state in (given, None):
                with torch.no_grad():
                    truth, true_pair = layer(x, state and tuple(part[None] for part in state))
                copies = [part.clone() for part in state or ()]
                output, h, c, after = probe(run, x.clone(), [w.clone() for w in weights], tuple(copies) or None)
                unchanged([x, *weights, *(state or ())], after)
                where = f"for {batch} sequences of length {length}, {dtype}, from " + ("zeros." if state is None else "a given state.")
                if not agrees(output, truth):
                    fail(f"The states are wrong {where}")
                if not (agrees(h, true_pair[0][0]) and agrees(c, true_pair[1][0])):
                    fail(f"All states are right, the final pair is not, {where}")


def torch_stack(x, layers):
    """What causal_stack computes, by F.conv1d: padded on both sides, and the right end cut off."""
    for index, (weight, bias, dilation) in enumerate(layers):
        padding = (weight.shape[2] - 1) * dilation
        x = x.relu() if index else x
        x = F.conv1d(x.mT, weight, bias, padding=padding, dilation=dilation)[..., : x.shape[1]].mT
    return x


def random_layers(kernel, dilations, widths, dtype=torch.float64):
    """Weight, bias and dilation of each layer."""
    draw = lambda *shape: torch.randn(*shape, dtype=dtype)
    return [(draw(b, a, kernel) * 0.5, draw(b), dilation) for a, b, dilation in zip(widths[:-1], widths[1:], dilations, strict=True)]


def copied(layers):
    return [(weight.clone(), bias.clone(), dilation) for weight, bias, dilation in layers]


def tensors_of(layers):
    return [part for weight, bias, _ in layers for part in (weight, bias)]


@check(points=1, hint="Each tap is a linear layer on a shifted sequence. Is the length kept when T is smaller than the window?")
def layer_agrees_with_conv1d():
    """A layer agrees with F.conv1d for kernels 1, 2, 3 and 5 and several dilations, and keeps any length."""
    def run(x, weight, bias, dilation):
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            output = causal_conv(x, weight, bias) if dilation == 1 else causal_conv(x, weight, bias, dilation)
        return output.detach(), [x, weight, bias]

    for dtype in (torch.float32, torch.float64):
        for kernel, dilation, length, d, d_out in [
            *((1, 1, 5, 3, 2), (1, 4, 3, 2, 4), (2, 1, 6, 3, 3), (2, 3, 9, 2, 5), (3, 1, 7, 4, 2), (3, 2, 11, 3, 3), (5, 2, 13, 2, 2)),
            *((2, 4, 3, 2, 3), (3, 3, 4, 3, 2), (3, 5, 1, 2, 2), (5, 1, 2, 3, 3)),  # shorter than the window
        ]:
            [(weight, bias, _)] = layers = random_layers(kernel, [dilation], [d, d_out], dtype)
            x = torch.randn(3, length, d, dtype=dtype)
            output, after = probe(run, x.clone(), weight.clone(), bias.clone(), dilation)
            unchanged([x, weight, bias], after)
            if not agrees(output, torch_stack(x, layers)):
                fail(f"Wrong for kernel {kernel}, dilation {dilation}, {length} positions, widths {d} to {d_out} and {dtype}.")


def stacked(x, layers):
    """causal_stack() in the student's process, where torch's own layers are out of reach."""
    def run(x, layers):
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            output = causal_stack(x, layers)
        return output.detach(), [x, *(part for weight, bias, _ in layers for part in (weight, bias))]

    output, after = probe(run, x.clone(), copied(layers))
    unchanged([x, *tensors_of(layers)], after)
    return output


@check(points=1, hint="ReLU between the layers, none before the first or after the last. Each layer pads its own input with zeros and has its own dilation.")
def stack_agrees_with_conv1d():
    """A stack agrees with F.conv1d and ReLU, layer by layer, also on sequences shorter than its receptive field."""
    for dtype in (torch.float32, torch.float64):
        for kernel, dilations, widths, length in [
            *((2, [1, 2, 4], [3, 4, 5, 2], 15), (3, [1, 2], [2, 6, 3], 12), (1, [1, 1, 1], [3, 5, 5, 3], 4), (3, [4], [2, 3], 10)),
            *((2, [3, 1], [3, 3, 3], 8), (2, [1, 2, 4], [2, 4, 4, 2], 5), (3, [1, 3], [3, 4, 2], 2), (2, [4, 1, 2], [2, 3, 3, 2], 1)),
        ]:
            layers = random_layers(kernel, dilations, widths, dtype)
            x = torch.randn(2, length, widths[0], dtype=dtype)
            if not agrees(stacked(x, layers), torch_stack(x, layers)):
                fail(f"Wrong for kernel {kernel}, dilations {dilations}, {length} positions and {dtype}.")


def reachable(kernel, dilations):
    """All distances from which an output can see an input, by trying all ways."""
    distances = {0}
    for dilation in dilations:
        distances = {distance + tap * dilation for distance in distances for tap in range(kernel)}
    return distances


@check(points=1, hint="The last tap sees the present, the one before it dilation steps back, and so on. Nothing comes from the right, nothing wraps around.")
def stack_sees_its_window():
    """A change of one input changes the stack's outputs at the distances that its taps reach, and nowhere else."""
    for kernel, dilations, at in [(2, [1, 2, 4], 3), (3, [1, 2], 4), (1, [1, 3], 2), (3, [2], 0), (2, [1, 1, 5], 5), (2, [1, 2, 4, 8], 1)]:
        # With positive numbers throughout, ReLU changes nothing and nothing cancels.
        widths = [2] * (len(dilations) + 1)
        layers = [(weight.abs() + 0.1, bias.abs(), dilation) for weight, bias, dilation in random_layers(kernel, dilations, widths)]
        distances = reachable(kernel, dilations)
        length = at + max(distances) + 4
        x = torch.rand(1, length, 2, dtype=torch.float64)
        before = stacked(x, layers)
        if before.shape != x.shape:
            fail(f"{length} positions have become {before.shape[1]}.")
        for place in (at, length - 1):
            changed = x.clone()
            changed[0, place] += 1
            difference = (stacked(changed, layers) - before)[0].abs().amax(-1)
            found = {t - place for t in range(length) if difference[t] > 1e-7}
            expected = {distance for distance in distances if place + distance < length}
            where = f"with kernel {kernel} and dilations {dilations}."
            if min(found, default=0) < 0:
                fail(f"An input changes outputs before its time: the stack looks into the future, {where}")
            if max(found, default=-1) != max(expected):
                fail(f"The last output that an input changes comes {'later' if max(found, default=-1) > max(expected) else 'earlier'} than it should, {where}")
            if found != expected:
                fail(f"The stack looks back as far as it should, but not at the right positions on the way, {where}")


@check(points=1, hint="Something on the way is detached, converted to NumPy, copied into a new tensor or computed under no_grad.")
def gradients_agree_with_torch():
    """Gradients reach inputs, first state, weights and biases of both layers, and agree with torch's."""
    def run_lstm(x, weights, state, direction, final):
        leaves = [part.clone().requires_grad_() for part in (x, *weights, *state)]
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            output, (h, c) = lstm(leaves[0], leaves[1:5], tuple(leaves[5:]))
            ((output * direction).sum() + (h * final[0]).sum() + (c * final[1]).sum()).backward()
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    def run_stack(x, layers, direction):
        leaves = [part.clone().requires_grad_() for part in (x, *(p for w, b, _ in layers for p in (w, b)))]
        with forbidden(*LIBRARY_LAYERS, operations=THEIR_OPERATIONS):
            rebuilt = [(leaves[2 * i + 1], leaves[2 * i + 2], dilation) for i, (_, _, dilation) in enumerate(layers)]
            (causal_stack(leaves[0], rebuilt) * direction).sum().backward()
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    layer, weights = redrawn(nn.LSTM(3, 4, batch_first=True, dtype=torch.float64))
    x, direction = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    state, final = torch.randn(2, 2, 4, dtype=torch.float64), torch.randn(2, 2, 4, dtype=torch.float64)
    names = ("x", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "h", "c")
    for gates in ("", " where gates are wide open or shut"):
        if gates:  # so far that exp would overflow
            weights[2] = torch.tensor([1000.0, -1000.0], dtype=torch.float64).repeat(8)
            with torch.no_grad():
                layer.bias_ih_l0.copy_(weights[2])
        layer.zero_grad()
        leaves = [x.clone().requires_grad_(), *layer.parameters(), *(part.clone().requires_grad_() for part in state)]
        output, (h, c) = layer(leaves[0], tuple(part[None] for part in leaves[5:]))
        ((output * direction).sum() + (h[0] * final[0]).sum() + (c[0] * final[1]).sum()).backward()
        for name, answer, leaf in zip(names, probe(run_lstm, x, weights, tuple(state), direction, final), leaves, strict=True):
            if not agrees(answer, leaf.grad):
                fail(f"The gradient of the LSTM's {name} is wrong{gates}.")

    layers = random_layers(3, [1, 2], [3, 4, 2])
    layers[1][1].zero_()  # biases start at zero in many networks, and have to learn
    direction = torch.randn(2, 5, 2, dtype=torch.float64)
    answers = probe(run_stack, x, layers, direction)
    leaves = [x.clone().requires_grad_(), *(part.requires_grad_() for part in tensors_of(copied(layers)))]
    (torch_stack(leaves[0], [(*leaves[1:3], 1), (*leaves[3:5], 2)]) * direction).sum().backward()
    for name, answer, leaf in zip(("x", "first weight", "first bias", "last weight", "last bias"), answers, leaves, strict=True):
        if not agrees(answer, leaf.grad):
            fail(f"The gradient of the stack's {name} is wrong.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How far it sees
#
# The input at position 4 of your stack is changed, and all that follows from it is marked (kernel size 2).

# %% tags=["demo"]
def footprints(*stacks, length=26, at=4):
    """Which numbers depend on the input at one position, layer by layer, for stacks with these dilations."""
    _, axes = plt.subplots(1, len(stacks), figsize=(9.5, 2.5), sharey=True)
    try:
        for ax, dilations in zip(axes, stacks, strict=True):
            ones = [(torch.ones(1, 1, 2), torch.zeros(1), dilation) for dilation in dilations]
            impulse = F.one_hot(torch.tensor([at]), length)[..., None] * 1.0
            marks = torch.stack([impulse[0, :, 0] > 0, *(causal_stack(impulse, ones[: n + 1])[0, :, 0] > 0 for n in range(len(ones)))])
            seen = receptive_field(2, dilations)
            ax.imshow(marks, cmap="Blues", vmin=0, vmax=1.4, aspect="auto", origin="lower")
            ax.axvline(at + seen - 0.5, color="C5", ls="--", lw=1.5)
            ax.text(at + seen - 0.2, 0.5, f"$R = {seen}$", color="C5", va="center")
            ax.set(title=f"Dilations {', '.join(map(str, dilations))}", xlabel="position", yticks=range(5))
            ax.set_xticks(np.arange(-0.5, length), minor=True)
            ax.set_yticks(np.arange(-0.5, 5), minor=True)
            ax.grid(False)
            ax.grid(True, which="minor", color="white", lw=1.2, alpha=1)
            ax.tick_params(which="minor", length=0)
    except NotImplementedError:
        plt.close()
        print("This figure is made by your causal_conv and causal_stack. Write them first.")
        return
    axes[0].set_yticklabels(["input", "layer 1", "layer 2", "layer 3", "layer 4"])
    plt.show()


footprints([1, 1, 1, 1], [1, 2, 4, 8])

# %% [markdown]
# Each dilation on the right is the sum of all smaller ones plus one, so there are no gaps.
#
# ### How much comes back
#
# To learn from an input, training needs a gradient. Here are five untrained models. The second LSTM has the weights of the first, with 4
# added to the biases of its forget gates.

# %% tags=["demo"]
def what_comes_back(forget_bias=4.0, width=16, length=80, n_runs=2):
    """How much the last output of untrained models depends on inputs further and further back."""
    scale = 1 / math.sqrt(width)  # two taps after a ReLU that lets about half through: the variance is kept
    window = receptive_field(2, [2**i for i in range(6)])

    def layers():
        rnn = nn.RNN(width, width, batch_first=True)
        plain = [p.detach() for p in nn.LSTM(width, width).parameters()]
        remembering = [p.clone() for p in plain]
        remembering[2][width : 2 * width] += forget_bias
        convolutions = [(torch.randn(width, width, 2) * scale, torch.zeros(width), 2**i) for i in range(6)]
        projections = torch.randn(3, width, width) * scale
        return {
            "plain RNN": lambda x: rnn(x)[0],
            "LSTM": lambda x: lstm(x, plain)[0],
            f"LSTM, forget gates + {forget_bias:g}": lambda x: lstm(x, remembering)[0],
            "six dilated convolutions": lambda x: causal_stack(x, convolutions),
            "causal attention": lambda x: F.scaled_dot_product_attention(*(x @ p for p in projections), is_causal=True),
        }

    torch.manual_seed(0)
    norms = {}
    try:
        for _ in range(n_runs):
            sequence = torch.randn(1, length, width)
            for name, model in layers().items():
                norms.setdefault(name, []).append(gradient_by_distance(model, sequence))
    except NotImplementedError:
        print("This figure is made by your lstm and causal_stack. Write them first.")
        return
    _, ax = plt.subplots(figsize=(8.8, 3.6))
    for (name, runs), color, style in zip(norms.items(), ("C5", "C0", "C0", "C1", "C2"), ("-", "--", "-", "-", "-"), strict=True):
        mean = torch.stack(runs).mean(0)
        shown = mean > 1e-12
        ax.plot(torch.arange(length)[shown], mean[shown], style, color=color, label=name)
    ax.axvline(window - 0.5, color="C1", ls=":", lw=1.2)
    ax.text(window + 0.3, 3e-9, f"beyond the\nwindow of {window}:\nexactly zero", color="0.3", fontsize=8.5)
    ax.set(yscale="log", ylim=(1e-13, 30), xlabel="distance from the input to the last output (positions)", ylabel="norm of the derivatives",
           title="How much the last output notices of an input")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


what_comes_back()

# %% [markdown]
# The straight lines of the plain RNN and of the LSTM are exponential decay: the LSTM is no remedy by itself, since its forget gates start
# near 0.5. **With the gates open it remembers.** So Keras starts forget gates with a bias of 1 (after Jozefowicz et al., ICML 2015); PyTorch does not. Convolutions and attention show no
# trend, the convolutions nothing at all beyond their window.
#
# **Your turn.** Is Keras' bias enough? Will the curve of `what_comes_back(forget_bias=1.0)` be level?
#
# <details><summary>Answer</summary>
#
# No, it lies between the two: a gate starts at about $\sigma(1) = 0.73$, and eighty steps back hardly anything is left.
# </details>
