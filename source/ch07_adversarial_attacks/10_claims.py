# %% [markdown]
# ## W7.1 Claims about attacks
#
# ### Softer labels
#
# *Label smoothing* (Szegedy et al., arXiv:1512.00567) trains not on "100 % a three", but, below, on 73 % for the right digit and 3 % for each of the others. It has been proposed as a defence (arXiv:1906.11567). **Predict:** of two networks for digits, one trained so, which withstands changes of at most 0.1 per pixel better, under a weak attack and under a strong one?

# %% tags=["demo", "nbval-ignore-output"]
def smoothed_digits(smoothing: float, seed: int) -> nn.Sequential:
    """A network of section 7.1, trained on smoothed labels."""
    images, labels, _, _ = digit_data()
    network = digit_network(seed)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3, fused=True)
    order = torch.Generator().manual_seed(seed)
    for _ in range(30):
        for chosen in torch.randperm(len(images), generator=order).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(images[chosen]), labels[chosen], label_smoothing=smoothing).backward()
            optimizer.step()
    return network.requires_grad_(False)


def withstands(network, loss, eps: float, n_steps: int) -> torch.Tensor:
    """For each test image, whether no point of one attack deceives the network."""
    _, _, images, labels = digit_data()
    point, resists = images, torch.ones(len(images), dtype=torch.bool)
    for _ in range(n_steps):
        point = point.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(network(point), labels).sum(), point)
        step = eps if n_steps == 1 else eps / 8
        point = (point.detach() + step * gradient.sign()).clamp(images - eps, images + eps).clamp(0, 1)
        resists &= margin_loss(network(point), labels) < 0
    return resists


def draw_smoothed(smoothing: float = 0.3, eps: float = 0.1, seeds: tuple = (0, 1, 2)) -> None:
    found = {"labels as they are": [], f"labels smoothed by {smoothing:g}": []}
    for rows, amount in zip(found.values(), (0.0, smoothing), strict=True):
        for seed in seeds:
            network = smoothed_digits(amount, seed)
            single, many, margin = (withstands(network, *attack) for attack in ((ce_loss, eps, 1), (ce_loss, eps, 20), (margin_loss, eps, 20)))
            rows.append([100 * part.double().mean().item() for part in (single, single & many, single & many & margin)])
    _, ax = plt.subplots(figsize=(7.4, 3.0))
    for shift, (name, rows), color in zip((-0.2, 0.2), found.items(), ("C0", "C1"), strict=True):
        means = np.mean(rows, axis=0)
        ax.bar(np.arange(3) + shift, means, 0.38, color=color, label=name)
        for place, mean, values in zip(np.arange(3) + shift, means, np.transpose(rows), strict=True):
            ax.plot([place] * len(values), values, "k_", ms=9)
            ax.text(place, max(values) + 2, f"{mean:.0f}", ha="center", fontsize=9)
    ax.set_xticks(range(3), ["one step (FGSM)", "and 20 steps,\ncross-entropy", "and 20 steps,\nmargin"])
    ax.set(ylabel="still correct, in %", ylim=(0, 85), title=f"Changes of at most {eps:g} per pixel: bars are means, dashes are seeds")
    ax.legend(fontsize=9, ncols=2, loc="upper center")
    plt.show()


draw_smoothed()

# %% [markdown]
# From left to right, an image counts if it withstands all attacks so far. Until the margin is attacked as well, smoothing looks like a defence; then the smoothed networks are *worse*, for each of nine seeds. (At 0.05, smoothing gains two to five points even under all attacks.) A defence cannot be judged by the attack that it disturbs (compare arXiv:2009.08233).

# %% [markdown] nbgrader={"grade": false, "grade_id": "attack_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Written question W7.1 · Claims about attacks
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **10 points** · in writing, marked by a person
#
# None of these claims holds. Write for **each of the five** two or three sentences: what is wrong, what holds instead, and **a number** that shows it, computed from what the claim says, or from this chapter.
#
# 1. "There are three kinds of attacks: adversarial examples, model extraction, and differential privacy. Against the last one, choose a privacy mechanism."
# 2. "We add normal noise of standard deviation 1 to the summed gradient of all patients. We do not clip. After 100 steps, noise has been added 100 times, so the model is very private."
# 3. "Our classifier is a linear score of ten inputs. Its weights are encrypted, and the service returns a label only. So nobody can copy it."
# 4. "We use gradient masking, and it works: of the digits, PGD leaves 93 % correct if each pixel changes by at most 0.2, and still 93 % with 0.5. (All ten digits are equally frequent. Images made for another network leave 4 % at 0.2.)"
# 5. "Smoothed prediction is a proven defence. We train with label smoothing. And when a network voted on 1,000 noisy copies of an image of 64 pixels, $\sigma = 0.25$, all votes were for the same digit. So no change of at most 0.2 per pixel alters the vote."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim: 1 for what is wrong and what holds instead, 1 for a number with its meaning. In 2, clipping and the growth over steps are both needed for the first point. In 3, "encrypt better" or "obfuscate the file" gets no point for the correction. In 4, the accuracy at 0.5 or the transferred images must be used. In 5, the two kinds of smoothing must be told apart.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "attack_claims_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, differential privacy.** It is not an attack but a property of a program, and the defence. It limits what attacks find out about people because their data were used: membership inference (arXiv:1610.05820), reading out training data (arXiv:2012.07805). For membership, its definition gives TPR $\le e^\varepsilon$ FPR $+ \delta$ (7.7): with $\varepsilon = 1$ and $\delta = 10^{-5}$, an attack with 1 % false alarms finds at most 2.7 % of the members; with $\varepsilon = 8$,
# the same formula gives 30, more than 1, so it promises nothing there. "Choose a mechanism" leaves out what counts: whose data one unit is, the sensitivity, $\varepsilon$ and $\delta$, and that every further use of the data adds to them.
#
# **2, noise.** Noise hides a person only if the person's share of the sum is bounded: clip each patient's gradient to a norm $C$, then add noise in proportion to $C$ (Abadi et al., arXiv:1607.00133). Without clipping, one gradient of norm 20 moves the sum by 20 standard deviations, which everybody sees. And each step tells something more. With $C = 1$ and $\sigma = 1$, one step has $\varepsilon = 4.4$ at $\delta = 10^{-5}$, by the exact formula of 7.6.
# A hundred steps with all patients are like one with a tenth of the noise, since changes add up to a vector of norm $\sqrt{100}$: $\varepsilon = 92$. Small random batches help (7.6), more steps never do.
#
# **3, encryption.** It protects the file. The attacker needs the answers only (Tramèr et al., arXiv:1609.02943, also for labels alone). With probabilities, $\ln \frac{p}{1-p} = w \cdot x + b$, so 11 queries give 11 linear equations for all 11 numbers. With labels: between a point of each class, each query halves the piece of the line on which the label changes, so 20 queries leave a millionth of it. Ten such points fix the plane $w \cdot x + b = 0$, hence all labels: about 200 queries.
# Coarser outputs, limits for each customer and detection of unusual queries (PRADA, arXiv:1805.02628) raise the price, and a watermark may prove the theft afterwards. None makes it impossible.
#
# **4, masking.** It hides the gradient from one attack, and the images that deceive are still there (Papernot et al., arXiv:1602.02697; Athalye et al., arXiv:1802.00420). The claim's own numbers show it. With 0.5, every image may be made the same grey, 0.5 in each pixel, and a classifier has one answer to that: at most 10 % can be correct. An attack that leaves 93 % has failed.
# And robust accuracy is the worst over all attacks: the transferred images put it at 4 % or less at 0.2. Attack with BPDA, EOT or another loss, whatever fits the defence (7.3).
#
# **5, smoothing.** *Label smoothing* changes the labels in training and proves nothing; in the figure, it gains 7 points under FGSM and loses 3 under the strongest attack. *Randomised smoothing* (Cohen et al., arXiv:1902.02918) certifies the vote, in $L_2$. If all of 1,000 copies agree, the share of the winner is at least $0.001^{1/1000} = 0.993$, with an error of one in a thousand. The radius is $0.25 \cdot \Phi^{-1}(0.993) = 0.62$.
# A change of 0.2 in 64 pixels has the length $0.2 \sqrt{64} = 1.6$; the certificate ends at $0.62 / 8 = 0.077$ per pixel. For 1.6, $\Phi^{-1}(p)$ would have to be 6.4, and $p$ so near to 1 that $9 \cdot 10^{10}$ copies had to agree, or $\sigma$ larger, which costs accuracy. And a certificate says that the vote stays, not that it is correct.
# ### END SOLUTION
