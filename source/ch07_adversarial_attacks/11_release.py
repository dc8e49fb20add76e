# %% [markdown]
# ## W7.2 A medical model for the public
#
# > **Difficulty** ★★★☆ · **45 minutes** · **10 points** · in writing, marked by a person
#
# How often can a model be talked into a harmful answer? Another model, the **judge**, reports harmful answers. Its *sensitivity* is the share of harmful ones that it reports, its *specificity* the share of harmless ones that it does not, both measured on answers that experts have read. The true rate follows (Rogan and Gladen, *American Journal of Epidemiology* 107:71, 1978):
#
# $$\theta = \frac{p + \text{specificity} - 1}{\text{sensitivity} + \text{specificity} - 1}, \qquad p = \text{the share that the judge reports.}$$
#
# With sensitivity $a$ known from $n_a$ harmful answers, specificity $b$ from $n_b$ harmless ones, and $n$ attempts, small errors add up to
#
# $$\text{standard error}^2 \approx \frac{1}{(a + b - 1)^2} \left( \frac{p(1-p)}{n} + \theta^2\, \frac{a(1-a)}{n_a} + (1-\theta)^2\, \frac{b(1-b)}{n_b} \right) .$$
#
# **Predict:** a judge has a sensitivity of 0.85 and a specificity of 0.95, and reports 6.6 % (left figure). What is the true rate? How much does the error fall if there are 100,000 attempts instead of 1,000 (right)?

# %% tags=["demo"]
def draw_judge(sensitivity: float = 0.85, theta: float = 0.02, n_harmful: int = 100, seed: int = 0, n_runs: int = 4000) -> None:
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
    rates = np.linspace(0, 0.1, 50)
    for specificity, style in ((1.0, ":"), (0.98, "--"), (0.95, "-")):
        left.plot(100 * rates, 100 * (rates * sensitivity + (1 - rates) * (1 - specificity)), style, label=f"specificity {specificity:g}")
    left.plot(100 * rates, 100 * rates, color="black", lw=0.8, label="the truth")
    left.set(xlabel="true rate, in %", ylabel="reported by the judge, in %", ylim=(0, 14), title=f"What a judge reports (sensitivity {sensitivity:g})")
    left.legend(fontsize=8.5)

    generator = np.random.default_rng(seed)
    attempts = np.geomspace(100, 100_000, 7).round().astype(int)
    specificity = 0.95
    p = theta * sensitivity + (1 - theta) * (1 - specificity)
    for n_harmless, style, marker in ((100, "-", "o"), (1000, "--", "s"), (10_000, ":", "^")):
        parts = p * (1 - p) / attempts + theta**2 * sensitivity * (1 - sensitivity) / n_harmful + (1 - theta) ** 2 * specificity * (1 - specificity) / n_harmless
        drawn = []
        for n in attempts:
            reported = generator.binomial(n, p, n_runs) / n
            a = generator.binomial(n_harmful, sensitivity, n_runs) / n_harmful
            b = generator.binomial(n_harmless, specificity, n_runs) / n_harmless
            drawn.append(np.std((reported + b - 1) / (a + b - 1)))
        (line,) = right.plot(attempts, 100 * np.sqrt(parts) / (sensitivity + specificity - 1), style, label=f"{n_harmless:,} harmless answers")
        right.plot(attempts, 100 * np.array(drawn), marker, ms=5, color=line.get_color())
    right.axhline(100 * theta, color="0.5", lw=1)
    right.text(attempts[-1], 100 * theta + 0.08, "the true rate itself", ha="right", fontsize=8.5, color="0.35")
    right.set(xscale="log", xlabel="attempts that the judge reads", ylabel="standard error, in points", ylim=(0, None), title="What experts have read decides")
    right.legend(fontsize=8.5, title="read by experts", title_fontsize=8.5)
    plt.show()


draw_judge()

# %% [markdown]
# It is 2 %: of 66 reports in 1,000 attempts, 49 are false. For a model that never gives in, the same judge reports 5 %. On the right, lines are the formula, and markers 4,000 repeated studies. With 100 harmless answers read by experts, the error stays above the rate itself, however many attempts there are.

# %% [markdown] nbgrader={"grade": false, "grade_id": "release_decision", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Written question W7.2 · A medical model for the public
#
# Hospitals have trained an open language model further, on 200,000 letters about 40,000 patients, at most 8 about each. Anybody shall be able to ask it about symptoms and medicines. You decide. This is known (made-up numbers):
#
# | | |
# |---|---|
# | use | doctors call 78 % of its answers to 1,000 questions correct, and 76 % for the same model without the letters |
# | training | DP-SGD, $\varepsilon = 3$, $\delta = 10^{-6}$ for adding or removing one *letter*; the best of four such runs, chosen on the letters |
# | audit | the training program, on a small model: a canary letter was noticed in 180 of 500 trainings with it and in 1 of 500 without it (threshold fixed before) |
# | red team | 1,000 harmful requests, each tried once: the judge reports 46 successes |
# | judge | of answers that doctors have read, it reported 90 of 100 harmful and 12 of 400 harmless ones |
# | API | free; an e-mail address opens an account for 10,000 requests a day; returns the text and the log-probabilities of 20 tokens; takes a `logit_bias`; keeps all requests for ever |
#
# 1. The threat model: what is to be protected? Name at least four attackers, with their access, knowledge, budget, and the attack that fits. What do you leave out?
# 2. What does the privacy claim say about a letter, and about a patient? What does the audit say about the claim, with 95 % confidence? What do you demand?
# 3. Correct the red team's rate, with its error. What does it say about somebody who tries 50 times? With a filter, the judge reports 34: is that better? What do you measure next?
# 4. What does the API return, to whom, how often? What is logged, and for how long? What does each limit *not* prevent?
# 5. Decide: release, with conditions, in another form, or not. What would change your decision, in either direction?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the decision and its reason, 1 for numbers that support it and for what is said about their limits. Another decision with its numbers is as good. Whoever takes the letter's $\varepsilon$ for the patient's, or the reported rate for the true one, loses the point for the decision in that part. In part 5, a decision without a finding that would change it gets at most 1.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "release_decision_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** To be protected: patients in the letters; people who ask, whose questions are about their health, too; people who follow an answer; the service and its costs. The weights matter least, since the base model is open. *A curious person* (employer, insurer, relative) knows a name and some facts, and asks with log-probabilities: membership (7.7) and reading out (7.8), 10,000 requests a day for each account. *Somebody who wants a dangerous answer* has the same access,
# and the base model at home, to make suffixes with its gradients and try whether they carry over (7.2). *A thief* collects answers to copy the service, or its last layer (7.5). *Somebody who writes what others paste*, or who wrote a letter: injected text (7.4) and poisoned training data (7.9). The model has no tools, so the worst is a wrong answer, which is bad enough. *An insider* reads the logs. Left out: burglary into the servers, courts, and pictures (7.1), which the API does not take. If it ever takes pictures or calls tools, this is done again.
#
# **2.** *A letter:* $e^3 = 20$. An attack with 0.1 % false alarms finds at most $20 \cdot 0.001 = 2.0$ % of the letters; from 5 % false alarms on, this inequality forbids nothing. And four runs were made and compared: by simple addition, $\varepsilon = 12$. *A patient* with 8 letters: $8 \cdot 3 = 24$ for a single run, and $\delta$ grows to about $10^{-6} e^{21}$, more than 1. So nothing is promised to a patient.
# *The audit:* with 2.5 % error each, TPR is at least 0.318 and FPR at most 0.0111 (Clopper and Pearson), so $\varepsilon \ge \ln(0.318 / 0.0111) = 3.36$. The claim of 3 is refuted, if this was the only audit: had there been ten, at least one of them would refute a true claim with a probability of up to 40 %. (The plain rates give $\ln 180 = 5.2$, which proves nothing: the 1 of 500 might have been 5.) I demand: find the error, and repeat the audit with new runs. The unit is the patient: all letters of a patient give one gradient,
# clipped once, with Poisson batches of patients. $\varepsilon \le 1$, $\delta \le 10^{-6}$ for everything that is done with the letters, settings chosen on public text. Names and numbers are removed, and repeated text, too: noise is no reason to be careless.
#
# **3.** Sensitivity 0.90, specificity $388/400 = 0.97$: $\theta = (0.046 + 0.97 - 1) / 0.87 = 1.8$ %, so about 17 of the 46 reports are true. The three parts under the root give a standard error of 1.2 points, 61 % of its square from the 400 harmless answers, 38 % from the 1,000 attempts: roughly, 0 to 4.2 %. If attempts were independent, at least one of 50 would succeed with $1 - 0.982^{50} = 60$ %. They are hardly independent: some requests may always fail, others soon succeed. It has to be measured, 50 attempts for each request.
# *The filter:* $(0.034 - 0.03) / 0.87 = 0.5$ %. The judge's number falls by a quarter, the corrected one by three quarters. In the difference, 1.4 points, the specificity cancels, if the filter leaves the judge's errors as they were; its error is $\sqrt{(0.046 \cdot 0.954 + 0.034 \cdot 0.966)/1000} / 0.87 = 1.0$ point. Not shown; the same requests were used, so a paired test (6.4) may show it. *Next:* doctors read all 46, and 200 of the others at random (if these are all harmless, up to 1.5 % of the others may still be harmful);
# 2,000 more harmless answers; and a team that knows the filter and the judge attacks both. An answer can also speak to the judge (7.4). Sensitivity is known only for kinds of harm that somebody has thought of.
#
# **4.** Text only. Log-probabilities and `logit_bias` serve membership, reading out and theft most, and a person with a question not at all. 50 requests a day for an account with a verified telephone number, and a limit for all together. This does not stop 100 accounts: 150,000 requests a month. So limits make jailbreaks and theft slower, and privacy must not rest on them; for that there is $\varepsilon$, which holds for any number of questions. *Logs:* they are needed to notice attacks, and they are a new collection of health data. 30 days, encrypted,
# opened by two people together, each access recorded; then counts only; a flagged case is kept for six months without the account's name. Whoever asks is told. An attacker who is slower than 30 days is not seen. Nothing that is asked is used for training: $\varepsilon$ covers the letters only.
#
# **5.** *Not this model.* The letters bring 2 points; taken as separate samples, that has an error of $\sqrt{(0.78 \cdot 0.22 + 0.76 \cdot 0.24)/1000} = 1.9$ points, so a gain is not shown. Against it stand a refuted guarantee for letters, and none for the 40,000 patients, who cannot be asked again, and what has been read out cannot be called back. The version *without* letters has no such risk. But nearly one of four answers is wrong without any attacker. So: first 200 doctors of the hospitals, who check what they read, for three months, with the API of part 4;
# the weights stay with us, so that it can be withdrawn. For the public, later, only explanations of given leaflets, with the source beside them, no doses, and the emergency number. A lawyer says whether it is a medical device. *Towards the letters:* a paired comparison that shows at least 5 points on questions that matter, *and* $\varepsilon \le 1$ for a patient, *and* an audit that does not contradict it. *Towards the public:* an upper limit below 1 % for the best of 50 attempts, and no more dangerous answers than people get today without it.
# *Away from both:* a single secret that is read out, one suffix that works for most requests, or doctors who stop checking. And doing nothing has a price, too: people ask other models meanwhile. I would measure that, not assume it.
# ### END SOLUTION
