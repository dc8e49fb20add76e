# %% [markdown] nbgrader={"grade": false, "grade_id": "four_runs", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.2 Four runs
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **12 points** · in writing, marked by a person
#
# The figure below shows four real training runs on digits of ten classes, A to D. (The code that made them would give the answers away; it stands in the solved notebook.)
# B and D have 1,200 training images; A and C have 300 and a wide network. In the data of A and C, training and validation alike, about 15 % of the labels were replaced by a digit drawn at random.
#
# Of these **six** causes, one explains each run best, and two are left over:
#
# 1. it learns its training data by heart; 2. it is too small, or trained too little; 3. its steps are too large; 4. images of the training set are in the validation set; 5. dropout is so strong that the training loss, measured with it, stays above the validation loss;
# 6. the labels of the validation set are in the wrong order.
#
# **For each run**:
#
# - say which cause it is, and what in the curves shows it;
# - name **two measures in the order in which you would try them**, cheapest first, with what each costs;
# - say which further number or plot would confirm your diagnosis before you spend that.
#
# **Once**: say of one cause left over what its curves would look like.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Three points per run: 1 diagnosis with the evidence in the curves (for one run, also the cause that does not fit); 1 two measures that fit, ordered by cost with a reason; 1 a confirmation that could also refute the diagnosis.
# ### END MARK SCHEME

# %% tags=["demo"]
epochs = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 36, 40, 44, 48, 52, 56, 60]
recorded = {  # training and validation loss after some of 60 epochs
    "A": (
        [2, 1.4, 0.989, 0.86, 0.795, 0.75, 0.655, 0.575, 0.532, 0.473, 0.449, 0.406, 0.357, 0.294, 0.244, 0.223, 0.169, 0.169, 0.119, 0.093, 0.0707, 0.0577, 0.0511, 0.0441],
        [2.18, 1.59, 1.29, 1.28, 1.27, 1.32, 1.32, 1.27, 1.26, 1.27, 1.31, 1.33, 1.36, 1.41, 1.48, 1.55, 1.59, 1.74, 1.76, 1.78, 1.86, 1.91, 1.96, 2.01],
    ),
    "B": (
        [2.33, 2.32, 2.3, 2.28, 2.27, 2.25, 2.2, 2.16, 2.11, 2.05, 1.99, 1.94, 1.89, 1.82, 1.76, 1.71, 1.67, 1.62, 1.57, 1.52, 1.48, 1.45, 1.41, 1.38],
        [2.32, 2.31, 2.29, 2.28, 2.26, 2.24, 2.2, 2.15, 2.1, 2.04, 1.99, 1.93, 1.89, 1.82, 1.77, 1.72, 1.67, 1.62, 1.58, 1.53, 1.49, 1.46, 1.42, 1.39],
    ),
    "C": (
        [1.97, 1.41, 0.997, 0.87, 0.865, 0.765, 0.622, 0.551, 0.504, 0.46, 0.409, 0.397, 0.347, 0.265, 0.229, 0.183, 0.157, 0.118, 0.0916, 0.0728, 0.064, 0.0484, 0.0427, 0.0373],
        [1.97, 1.41, 0.999, 0.872, 0.868, 0.768, 0.625, 0.553, 0.506, 0.461, 0.411, 0.399, 0.35, 0.267, 0.231, 0.187, 0.159, 0.121, 0.0946, 0.0753, 0.0674, 0.0515, 0.0451, 0.0402],
    ),
    "D": (
        [0.889, 0.691, 0.963, 0.577, 0.85, 0.943, 0.627, 0.745, 0.954, 0.737, 0.7, 0.744, 0.763, 0.62, 0.659, 0.624, 0.701, 0.732, 0.7, 0.973, 1.15, 1.14, 1.11, 1.12],
        [0.851, 0.857, 0.967, 0.687, 0.894, 1.02, 0.741, 0.946, 1.14, 0.888, 0.892, 1.05, 1.1, 0.835, 0.814, 0.787, 0.845, 0.941, 0.941, 1.17, 1.46, 1.41, 1.29, 1.32],
    ),
}
fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), sharey=True)
for ax, (name, (training, validation)) in zip(axes, recorded.items(), strict=True):
    ax.plot(epochs, training, label="training")
    ax.plot(epochs, validation, "--", label="validation")
    ax.set(title=f"run {name}", xlabel="epoch", yscale="log", ylim=(5e-3, 6))
axes[0].set_ylabel("cross-entropy (nats)")
axes[0].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown] nbgrader={"grade": true, "grade_id": "four_runs_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **A** is overfitted: the training loss goes towards zero while the validation loss turns and rises. First stop earlier, at the minimum of the validation loss: free, one more number to store. Then weight decay or dropout: a few runs. Then more data or
# augmentation, which costs labels or care. *Confirm*: train on half of the data; if A is right, the gap grows. Also read some training images with large early loss: wrong labels are learnt by heart, too.
#
# **B** is underfitted, too small and trained too little: both losses are high, close together, and still falling. First train longer or with a larger rate: one run. Then a wider network: some runs. Regularisation would make it worse. *Confirm*: can it fit 50 images? If not even that, the network or
# the code is at fault, not the time.
#
# **C** looks too good. With 15 % of the labels drawn at random, a label is what the image shows with probability 0.865, and each other digit with 0.015. The best possible forecast of new labels has a loss of
# $-0.865 \ln 0.865 - 0.135 \ln 0.015 = 0.69$ nats; C's validation loss falls to 0.04, just above the training loss. It knows which labels are wrong, so it has seen them: the validation images are near-copies of training
# images, a leak. (A, with the same data and network, never comes below 1.26.) First look for the nearest training image of each validation image: minutes. Then split again by source and repeat the run. *Confirm*: the loss on data from elsewhere, or on a new split. No regularisation will help, for the measurement is broken.
#
# *Left over:* with cause 5, the training curve would lie above the validation curve, in no run here. With cause 6, the validation loss would not fall below $\ln 10 = 2.3$, what guessing costs, and rise as the network gets surer.
#
# **D** has too large a step: losses jump and stay on a high level, on training data, too, so it is not overfitting. First divide the rate by ten, or warm up and decay it: one run. Then clip gradients. *Confirm*: the same run with a smaller rate falls smoothly; the norm
# of the gradient jumps where the loss does.
#
# The runs were made by
#
# ```python
# from sklearn.datasets import load_digits
#
#
# def run_digits(n_train, width, rate, epochs, seed, copies=False, noise=0.0):
#     """Losses per epoch on training and validation data of a small network on digits."""
#     torch.manual_seed(seed)
#     pixels, digits = load_digits(return_X_y=True)
#     order = torch.randperm(len(pixels))
#     x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
#     wrong = torch.rand(len(y)) < noise  # labels that somebody got wrong
#     y[wrong] = torch.randint(10, (int(wrong.sum()),))
#     x_train, y_train, x_val, y_val = x[:n_train], y[:n_train], x[-500:], y[-500:]
#     if copies:  # near-duplicates on both sides of the split
#         x_val, y_val = x[:300] + 0.02 * torch.randn(300, 64), y[:300]
#     net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
#     optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
#     losses = [], []
#     for _ in range(epochs):
#         for batch in torch.randperm(n_train).split(50):
#             optimizer.zero_grad()
#             F.cross_entropy(net(x_train[batch]), y_train[batch]).backward()
#             optimizer.step()
#         with torch.no_grad():
#             losses[0].append(F.cross_entropy(net(x_train), y_train).item())
#             losses[1].append(F.cross_entropy(net(x_val), y_val).item())
#     return losses
#
#
# runs = {
#     "A": run_digits(300, 512, 0.1, 60, seed=0, noise=0.15),
#     "B": run_digits(1200, 5, 0.003, 60, seed=1),
#     "C": run_digits(300, 512, 0.1, 60, seed=2, copies=True, noise=0.15),
#     "D": run_digits(1200, 64, 0.9, 60, seed=0),
# }
# ```
# ### END SOLUTION

