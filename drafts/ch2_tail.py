# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_overfitting", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.1 Claims about overfitting
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates in interview guides, and none is right as it stands. Choose **six**. For each, write two or three sentences: what is wrong, what holds instead, and
# **a number or a source** that shows it. Exercises of this chapter supply several of the numbers.
#
# 1. "Large models overfit more easily."
# 2. "Dropout reduces the model's dependence on particular training samples."
# 3. "Regularisation reduces the weight of the parameters, and L2 regularisation is the same as weight decay."
# 4. "L1 regularisation makes weights exactly zero."
# 5. "Cross-validation prevents overfitting."
# 6. "Compressing a model by pruning or quantisation reduces its number of parameters, and so its overfitting."
# 7. "Ensembles such as random forests or gradient boosting solve the overfitting of large models."
# 8. "Flipping and rotating the training images makes a model more robust."
# 9. "Learning several tasks at once improves each of them."
#
# ### BEGIN MARK SCHEME
# Two points per claim, six claims. For each claim: 1 point for what is wrong and what holds instead, 1 point for evidence: a number with its meaning, or a source that says it. A seventh claim is not marked.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_overfitting_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, size.** Not in general: test error can fall again beyond the point where the training data is fitted exactly (Belkin et al., arXiv:1812.11118; Nakkiran et al., arXiv:1912.02292). In exercise 2.7 the worst model is the one with
# about as many features as training points, and the largest is among the best. The claim holds for fine-tuning on little data and for many passes.
#
# **2, dropout.** Every sample is still seen by every weight in the long run. What is dropped are units, so that no unit can rely on particular others: it prevents co-adaptation (Srivastava et al., JMLR 15, 2014, abstract).
#
# **3, L2 and decay.** A penalty added to the loss is scaled by Adam's denominator like any gradient, so weights with large gradients are decayed less; decoupled decay shrinks all by the same factor (Loshchilov and Hutter, arXiv:1711.05101). For
# plain SGD the two are the same up to a factor. And the penalty pulls on values; "the weight of parameters" means nothing.
#
# **4, exact zeros.** The *minimiser* has zeros. Gradient descent on $|w|$ steps across zero and back and does not stop there; proximal steps do. In exercise 2.1 the subgradient method has no exact zero where ISTA has several.
#
# **5, cross-validation.** It estimates the error of a procedure, and helps to choose between procedures. The model is as overfitted as before. It even misleads if a step that has seen the labels happens outside the folds: with 2,000 random
# features and random labels, exercise 2.5 shows an accuracy far above one half that is not there.
#
# **6, compression.** Pruning removes parameters (if structure is removed and not only masked). Quantising keeps their number and stores each in fewer bits: `weight_bytes` of chapter 1 has the count as a factor. Either may act as a restraint; it is not what
# they are for.
#
# **7, ensembles.** Averaging reduces variance and leaves the bias of its members; exercise 2.9 measures both. Trees on tables do not cure a deep network on text, and boosting goes on fitting its training data and can overfit; it is stopped early for that.
#
# **8, flips.** Only if the label survives. A 6 turned by 180 degrees is a 9; a mirrored 2 is no digit; swapping words changes a sentence's meaning. An augmentation says "these two inputs have the same label", and must be true.
#
# **9, several tasks.** If the tasks are related, sharing helps; if not, they compete for the shared part. Exercise 2.8 shows both: with one shared unit, related tasks gain over separate models and unrelated ones lose by an order of magnitude.
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": false, "grade_id": "four_runs", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.2 Four runs
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **12 points** · in writing, marked by a person
#
# The figure below shows four real training runs on digits, A to D. One model is too large for its data, one is too small or trained too little, one is trained with too large a step, and in one the validation set is not what its
# owner thinks it is. **For each run**, say which it is and what in the curves shows it; name **two measures in the order in which you would try them**, cheapest first, with what each costs; and say which further number or plot would
# confirm your diagnosis before you spend that.
#
# ### BEGIN MARK SCHEME
# Three points per run: 1 diagnosis with the evidence in the curves; 1 two measures that fit, ordered by cost with a reason; 1 a confirmation that could also refute the diagnosis.
# ### END MARK SCHEME

# %% tags=["demo"]
from sklearn.datasets import load_digits


def run_digits(n_train, width, rate, epochs, seed, copies=False, noise=0.0):
    """Losses per epoch on training and validation data of a small network on digits."""
    torch.manual_seed(seed)
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels))
    x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
    wrong = torch.rand(len(y)) < noise  # labels that somebody got wrong
    y[wrong] = torch.randint(10, (int(wrong.sum()),))
    x_train, y_train, x_val, y_val = x[:n_train], y[:n_train], x[-500:], y[-500:]
    if copies:  # near-duplicates on both sides of the split
        x_val, y_val = x[:300] + 0.02 * torch.randn(300, 64), y[:300]
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    losses = [], []
    for _ in range(epochs):
        for batch in torch.randperm(n_train).split(50):
            optimizer.zero_grad()
            F.cross_entropy(net(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            losses[0].append(F.cross_entropy(net(x_train), y_train).item())
            losses[1].append(F.cross_entropy(net(x_val), y_val).item())
    return losses


runs = {
    "A": run_digits(300, 512, 0.1, 60, seed=0, noise=0.15),
    "B": run_digits(1200, 5, 0.003, 60, seed=1),
    "C": run_digits(300, 512, 0.1, 60, seed=2, copies=True, noise=0.15),
    "D": run_digits(1200, 64, 0.9, 60, seed=0),
}
fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), sharey=True)
for ax, (name, (training, validation)) in zip(axes, runs.items(), strict=True):
    ax.plot(range(1, len(training) + 1), training, label="training")
    ax.plot(range(1, len(validation) + 1), validation, "--", label="validation")
    ax.set(title=f"run {name}", xlabel="epoch", yscale="log", ylim=(5e-3, 6))
axes[0].set_ylabel("cross-entropy (nats)")
axes[0].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown] nbgrader={"grade": true, "grade_id": "four_runs_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **A** is overfitted: the training loss goes towards zero while the validation loss turns and rises. First stop earlier, at the minimum of the validation loss: free, one more number to store. Then weight decay or dropout: a few runs. Then more data or
# augmentation, which costs labels or care. *Confirm*: train on half of the data; if A is right, the gap grows. Also read some training images with large early loss: wrong labels are learnt by heart, too.
#
# **B** is underfitted: both losses are high, close together, and still falling. First train longer or with a larger rate: one run. Then a wider network: some runs. Regularisation would make it worse. *Confirm*: can it fit 50 images? If not even that, the network or
# the code is at fault, not the time.
#
# **C** looks too good: the validation loss follows the training loss down, although the training loss of run A's kind of network cannot fall that far by generalising, with labels that are partly wrong. The validation images are near-copies of training
# images: a leak. First look for the nearest training image of each validation image: minutes. Then split again by source and repeat the run. *Confirm*: the loss on data from elsewhere, or on a new split. No regularisation will help, for the measurement is broken.
#
# **D** has too large a step: losses jump and stay on a high level, on training data, too, so it is not overfitting. First divide the rate by ten, or warm up and decay it: one run. Then clip gradients. *Confirm*: the same run with a smaller rate falls smoothly; the norm
# of the gradient jumps where the loss does.
# ### END SOLUTION

# %% [markdown]
# ## What you can do now
#
# TODO
