# %% [markdown]
# ## W6.3 Claims about metrics
#
# ### One number for six tasks
#
# **Predict:** the average error of six tasks falls by 15 % when they share the trunk of a network (2.8). How many of the six have become better?
#
# The tasks are those of 2.8, $y_t = \tanh(2\, u_t \cdot x)$ plus noise, with six inputs, and one hidden unit. The directions $u_1$ to $u_5$ are close to a common one (cosine 0.98), and $u_6$ is orthogonal to it. There are 12 labelled samples. Each mark is a mean over 60 repetitions with new tasks and samples.

# %% tags=["demo"]
def draw_task_errors(cosines=(0.98, 0.98, 0.98, 0.98, 0.98, 0.0), n_runs=60, n_samples=12, seed=0) -> None:
    """Adapted from section 2.8: all repetitions are trained side by side."""
    n_tasks = len(cosines)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(n_runs, 6, 6, generator=generator))[0]
    directions = []
    for cosine in cosines:
        side = F.normalize(torch.randn(n_runs, 5, 1, generator=generator), dim=1)
        directions.append(cosine * basis[:, :, :1] + math.sqrt(1 - cosine**2) * basis[:, :, 1:] @ side)
    inputs, new_inputs = (torch.randn(n_runs, n, 6, generator=generator) for n in (n_samples, 200))
    targets, new_targets = (torch.tanh(2 * part @ torch.cat(directions, -1)) for part in (inputs, new_inputs))
    targets = targets + 0.3 * torch.randn(targets.shape, generator=generator)

    def task_errors(x, y, x_test, y_test):
        start = torch.Generator().manual_seed(1)
        into = (torch.randn(len(x), 6, 1, generator=start) / 6**0.5).requires_grad_()
        out = torch.randn(len(x), 1, y.shape[-1], generator=start).requires_grad_()
        biases = [torch.zeros(len(x), 1, n, requires_grad=True) for n in (1, y.shape[-1])]
        optimizer = torch.optim.Adam([into, out, *biases], lr=0.05, fused=True)
        network = lambda part: torch.tanh(part @ into + biases[0]) @ out + biases[1]
        for _ in range(200):
            optimizer.zero_grad()
            ((network(x) - y) ** 2).mean((1, 2)).sum().backward()
            optimizer.step()
        return ((network(x_test) - y_test) ** 2).mean(1).detach()

    repeated = lambda part: part.repeat_interleave(n_tasks, 0)
    one_by_one = lambda part: part.transpose(1, 2).reshape(n_runs * n_tasks, -1, 1)
    shared = task_errors(inputs, targets, new_inputs, new_targets).mean(0)
    single = task_errors(repeated(inputs), one_by_one(targets), repeated(new_inputs), one_by_one(new_targets)).reshape(n_runs, n_tasks).mean(0)

    _, ax = plt.subplots(figsize=(7.6, 3.0))
    places = [*range(1, n_tasks + 1), n_tasks + 2]
    before, after = ([*errors.tolist(), errors.mean().item()] for errors in (single, shared))
    ax.vlines(places, before, after, color="0.7", lw=1.5, zorder=1)
    ax.scatter(places, before, marker="s", s=45, color="C1", label="a network for each", zorder=2)
    ax.scatter(places, after, marker="o", s=45, color="C0", label="one trunk for all", zorder=2)
    ax.axhline((new_targets**2).mean(), color="black", ls=":", lw=1.2, label="always answering 0")
    for place, old, new in zip(places, before, after, strict=True):
        ax.annotate(f"{100 * (new / old - 1):+.0f} %", (place, max(old, new)), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=9)
    ax.set_xticks(places, [*(f"task {i}" for i in range(1, n_tasks + 1)), "average"])
    ax.set(ylabel="test MSE", ylim=(0, 1.2), xlim=(0.4, n_tasks + 2.6), title="Sharing a trunk, task by task")
    ax.legend(fontsize=8.5, ncols=3, loc="upper left")
    plt.show()


draw_task_errors()

# %% [markdown]
# Five tasks lose 38 to 48 % of their error. The sixth has more than twice as much, and would be better off with the answer 0: the one hidden unit serves the others. That is **negative transfer**. (With five other seeds, the average falls by 12 to 19 %; the sixth task was always worse than 0.)
#
# So report **each task** beside its single network, as the difference over the same samples and seeds with its error bar (6.4), and say how many became worse. An average also depends on which tasks are in it (over tasks 5 and 6, the error rises by 40 %), and in which units they are measured.

# %% [markdown] nbgrader={"grade": false, "grade_id": "metric_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Written question W6.3 · Claims about metrics
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **10 points** · in writing, marked by a person
#
# None of these sentences is correct as it stands. For **each of the five**, write two or three sentences: what is wrong, what holds instead, and **a number from this chapter** (or your own calculation) that shows it.
#
# 1. "Precision is the share of positive samples among the correctly predicted ones."
# 2. "Metrics evaluate generalisation. On a test set with as many harmful prompts as harmless ones, our filter finds 90 % of the harmful ones with a precision of 0.79, so in use about 79 of 100 flagged prompts will be harmful."
# 3. "Model B has 83 % on a benchmark of 164 questions, and A has 80 %. So B generalises better."
# 4. "We loaded a large language model from the Transformer library. Its accuracy is high, so it is good."
# 5. "Our multi-task model is better than separate models: averaged over six tasks, the error is 15 % lower."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim: 1 for what is wrong and what holds instead, 1 for a number with its meaning. In 2, prevalence is needed; that a test set is needed at all is not enough. In 4, the point for the correction is given for accuracy; the library's name alone is not enough. In 5, "average over more tasks" or "weigh the tasks" without reporting each of them gets no point for the correction.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "metric_claims_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, precision.** The sentence describes $TP / (TP + TN)$, in which no error occurs. Precision is $TP / (TP + FP)$: of the samples that were *predicted* as positive, the share that is. With $TP = 1$, $FP = 3$, $TN = 15$ it is $1/4$, and the sentence's number is $1/16$. For *fraud*, classifier B of 6.1 has a precision of $16/40 = 0.40$, and the sentence gives $16/972 = 0.016$. Without any false alarm it would give $16/996$, which is 0.016, too.
#
# **2, generalisation.** A metric is a formula; it says something about new cases only if the test cases are new and of the kind that will come. Here the prevalence is different. Recall and false positive rate carry over, if each kind of prompt stays what it is: $0.79 = 0.9 / (0.9 + F)$ gives $F = 0.24$. With one harmful prompt in 100, precision is $0.009 / (0.009 + 0.99 \cdot 0.24) = 0.04$, with one in 1,000 it is 0.004 (6.2). Generalisation needs more: no near-copies of
# training data in the test (split by source or time, 6.8), an interval (6.4), and a test on shifted data.
#
# **3, three points.** The standard error of 80 % of 164 questions is $\sqrt{0.8 \cdot 0.2 / 164} = 3.1$ points, as much as the difference. Both answered the same questions, so what counts is where they differ: report McNemar's test, or the interval of the paired difference. If B really is three points better and they agree on 86 % of the questions, this test notices it at 164 questions in about one of eight comparisons; 80 % power needs about 1,250 questions (6.4). "Not significant" does not mean equal, either.
#
# **4, accuracy.** The library is called *Transformers* (Hugging Face); the Transformer is an architecture. Accuracy counts all errors alike and ignores how sure the model is: classifier A of 6.1 has 0.915 and finds none of 20 frauds, B has 0.902 and finds 16. The network of 6.3 is right in 86 % of the cases and 95 % sure. Most of what a language model writes has no single right answer. Look also at: pass@k for code (6.6), bits per byte on new text, preferences with intervals
# and both orders (6.7), calibration, contamination (6.8), cost and latency. For multiple choice, say how an answer was scored.
#
# **5, the average.** It hides negative transfer: five related tasks lost 38 to 48 % of their error, and the sixth went from 0.34 to 0.76, worse than always answering 0 (0.64). Report each task beside its single network, with paired differences and their errors over the same seeds, the number of tasks that became worse, and the worst; give task 6 a trunk of its own. Which tasks are in the average decides its sign: over tasks 5 and 6,
# it rises by 40 %. And tasks measured in different units cannot be averaged before they are made comparable, say by the error of a simple baseline.
# ### END SOLUTION
