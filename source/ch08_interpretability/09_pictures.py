# %% [markdown]
# ## 8.9 Pictures of a model
#
# Three kinds of pictures are used to understand a model: of the **weights**, of the **activations**, and of the **loss** on a plane through the network that two random directions span. Li et al. (arXiv:1712.09913) give each filter (in a matrix, each row) of a direction the length of the network's own; otherwise a network with large weights looks flat.
#
# The figure shows a network with 16 hidden ReLUs that has learnt the digits (weights: violet positive, orange negative; the loss is on new digits). The second network is made from the first: the hidden units stand in another order, and each is multiplied by a factor from ¼ to 4, by which the weights that lead out of it are divided. As $\max(0, a z) = a \max(0, z)$ for $a > 0$, it is the same function.
#
# **Predict:** which of the three pictures will be the same for both?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def picture_data():
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    return torch.tensor(images / 16), torch.tensor(digits)


def picture_network(seed: int, hidden: int = 16, steps: int = 300):
    """W1, b1, W2, b2 of a network with one hidden layer of ReLUs, trained on 1,200 digits."""
    images, digits = (part[:1200] for part in picture_data())
    generator = torch.Generator().manual_seed(seed)
    shapes = ((hidden, 64), (hidden,), (10, hidden), (10,))
    weights = [(torch.randn(shape, generator=generator, dtype=torch.double) / shape[-1] ** 0.5 * (len(shape) > 1)).requires_grad_() for shape in shapes]
    optimizer = torch.optim.Adam(weights, 2e-2, weight_decay=1e-4, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(picture_logits(weights, images), digits).backward()
        optimizer.step()
    return [weight.detach() for weight in weights]


def picture_logits(weights, images):
    inner, shift, outer, last = weights
    return (images @ inner.T + shift).relu() @ outer.T + last


def rewrite(weights, order, factors):
    """The same function: hidden units in another order, each multiplied by a factor that the next layer divides by."""
    inner, shift, outer, last = weights
    return [factors[:, None] * inner[order], factors * shift[order], outer[:, order] / factors, last]


def filter_normalised(direction, weights):
    """Each row of a matrix gets the length of the network's own row; biases do not move (arXiv:1712.09913)."""
    return [d * w.norm(dim=1, keepdim=True) / d.norm(dim=1, keepdim=True) if w.dim() == 2 else torch.zeros_like(w) for d, w in zip(direction, weights, strict=True)]


def loss_around(weights, directions, reach):
    images, digits = (part[1200:] for part in picture_data())
    first, second = (filter_normalised(direction, weights) for direction in directions)
    moved = lambda a, b: [w + a * d + b * e for w, d, e in zip(weights, first, second, strict=True)]
    return np.array([[F.cross_entropy(picture_logits(moved(a, b), images), digits).item() for a in reach] for b in reach])


def draw_pictures(low: float = 0.25, high: float = 4.0, seed: int = 0) -> None:
    images, digits = (part[1200:] for part in picture_data())
    trained = picture_network(seed)
    hidden = len(trained[1])
    generator = torch.Generator().manual_seed(seed + 100)
    order = torch.randperm(hidden, generator=generator)
    factors = low * (high / low) ** torch.rand(hidden, generator=generator, dtype=torch.double)
    directions = [[torch.randn(w.shape, generator=generator, dtype=torch.double) for w in trained] for _ in range(2)]
    moved = [[d[0][order], d[1][order], d[2][:, order], d[3]] for d in directions]  # the same directions, in the new order
    networks = {"as trained": (trained, directions), "rewritten": (rewrite(trained, order, factors), moved)}
    reach = np.linspace(-1, 1, 31)
    figure, axes = plt.subplots(2, 3, figsize=(9.5, 6.2), gridspec_kw={"width_ratios": (1, 1.25, 1)}, layout="constrained")
    for row, (name, (weights, dirs)) in zip(axes, networks.items(), strict=True):
        tiles = np.full((35, 35), np.nan)
        for k, tile in enumerate(weights[0].reshape(-1, 8, 8).numpy()):
            tiles[k // 4 * 9 :, k % 4 * 9 :][:8, :8] = tile
        limit = np.nanmax(abs(tiles))
        row[0].imshow(tiles, cmap="PuOr", vmin=-limit, vmax=limit)
        active = (images @ weights[0].T + weights[1]).relu()
        row[1].imshow(np.array([active[digits == digit].mean(0).numpy() for digit in range(10)]), cmap="Greys", aspect="auto")
        row[1].set(yticks=range(10), ylabel="digit", xticks=[])
        losses = loss_around(weights, dirs, reach)
        lines = row[2].contour(reach, reach, losses, levels=(0.2, 0.3, 0.5, 1, 2, 4, 8), cmap="viridis")
        row[2].clabel(lines, fontsize=7)
        row[2].set(aspect="equal")
        row[0].set(xticks=[], yticks=[], ylabel=name)
        for ax in row[:2]:
            ax.grid(visible=False)
        print(f"{name:11} accuracy {(picture_logits(weights, images).argmax(1) == digits).double().mean():.3f}, loss {losses[15, 15]:.3f}, mean loss in the right panel {losses.mean():.2f}")
    for ax, title in zip(axes[0], ("Weights into the 16 hidden units", "Mean activation, by digit", "Loss around the network"), strict=True):
        ax.set_title(title)
    axes[1, 1].set_xlabel("hidden unit")
    plt.show()
    difference = (picture_logits(trained, images) - picture_logits(networks["rewritten"][0], images)).abs().max()
    print(f"largest difference between the two networks' logits: {difference:.0e}")


draw_pictures()

# %% [markdown]
# None of them, although the logits agree to about $10^{-14}$. *Weights and activations:* units with a large factor look important, and others empty. *Loss:* the second network seems to lie in a much narrower valley; the mean loss over the picture is two to five times as high (`seed` 0 to 5). "Flat minima generalise better" cannot be read off such a picture: these two generalise equally (Dinh et al., arXiv:1703.04933, for measures of sharpness). Filter normalisation takes out a factor of a whole layer, not one for each unit. And the picture shows 2 of 1,210 directions.
#
# ### What pictures are good for
#
# Pictures find **errors**: a unit that is never active (two, in the figure), weights for pixels that never carry ink, activations that grow from layer to layer. And they suggest questions. An answer has to meet three conditions:
#
# 1. **It must not depend on how the function is written.** Logits, input gradients and Shapley values are the same for both networks.
# 2. **It must depend on what was learnt.** Redraw the parameters and look again (8.6).
# 3. **A claim needs an intervention.** Replace what the picture marks, and see whether the answer changes (8.8).
#
# **Change, predict, run.** `draw_pictures(low=3, high=3)` gives each unit the factor 3, and another place. Which pictures differ now?
#
# <details><summary>What you should see</summary>
#
# The weights and the activations only by their order: the scale of colours hides a factor in common. The loss not at all: filter normalisation was made for this.
# </details>
