# %% [markdown]
# ## W6.2 Asking people
#
# > **Difficulty** ★★★☆ · **50 minutes** · **10 points** · in writing, marked by a person
#
# In the end, people decide whether an answer is helpful or harmful, and their labels have errors, too. The first question is whether two people agree.
#
# Raw agreement $p_o$ misleads: two raters who call 5 % of the answers harmful, *by throwing dice*, agree on 90.5 %. **Cohen's kappa** (1960) asks how much of the rest they reach:
#
# $$\kappa = \frac{p_o - p_e}{1 - p_e}, \qquad p_e = \sum_k a_k b_k$$
#
# where $a_k$ and $b_k$ are the shares of label $k$ in the first and the second rater's labels. It is 1 for full agreement and 0 for dice. For more raters there is **Fleiss' kappa**; **Krippendorff's alpha** also takes gaps and ordered scales.
#
# **Predict** (left figure): each of two raters is right in 90 % of the cases, harmful or not, and their errors are independent. So they agree on 82 %. Half of the answers are harmful in one data set, 1 % in another. What is $\kappa$?
#
# The second question is how far a mean of votes can be trusted. Chatbot B gets about 55 % of the votes against A. The probability of a vote for B has a standard deviation $\sigma_q$ between questions and $\sigma_r$ between raters: some always like the longer answer. With $V$ votes on $Q$ questions by $R$ raters, each giving as many,
#
# $$\text{standard error}^2 \approx \frac{\sigma_q^2}{Q} + \frac{\sigma_r^2}{R} + \frac{0.25 - \sigma_q^2 - \sigma_r^2}{V}$$
#
# **Predict** (right figure): the usual formula, $\sqrt{0.55 \cdot 0.45 / 1200}$, gives 1.4 points for 1,200 votes. What is the error if six people gave them?

# %% tags=["demo"]
def votes_error(n_votes, votes_per_question, n_raters, question_spread, rater_spread, seed, n_runs=1000):
    """The standard deviation of B's share over many repetitions of the study, each with new questions and new raters."""
    generator = np.random.default_rng(seed)
    n_questions = n_votes // votes_per_question
    question = np.repeat(np.arange(n_questions), votes_per_question)
    rater = np.arange(n_votes) % n_raters  # different raters for one question, equally many votes for each rater
    shares = []
    for _ in range(n_runs):
        p = 0.55 + generator.normal(0, question_spread, n_questions)[question] + generator.normal(0, rater_spread, n_raters)[rater]
        shares.append((generator.random(n_votes) < p).mean())
    return np.std(shares)


def draw_people(question_spread=0.15, rater_spread=0.08, seed=0):
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    harmful = np.geomspace(0.01, 0.5, 60)
    for correct, style in ((0.98, "-"), (0.95, "--"), (0.9, "-."), (0.8, ":")):
        agreement = correct**2 + (1 - correct) ** 2
        called = correct * harmful + (1 - correct) * (1 - harmful)  # the share that each rater calls harmful
        chance = called**2 + (1 - called) ** 2
        left.plot(100 * harmful, (agreement - chance) / (1 - chance), style, label=f"{100 * correct:.0f} % correct, agree on {100 * agreement:.3g} %")
    left.set(xscale="log", xticks=[1, 2, 5, 10, 20, 50], xticklabels=[1, 2, 5, 10, 20, 50], xlabel="share of harmful answers, in %", ylabel=r"$\kappa$", ylim=(0, 1), title="The same raters, the same agreement")
    left.minorticks_off()
    left.legend(fontsize=8, loc="upper left")

    raters = np.array([3, 6, 12, 24, 48, 96])
    for votes_per_question, marker, style in ((1, "o", "-"), (3, "s", "--")):
        questions = 1200 // votes_per_question
        formula = np.sqrt(question_spread**2 / questions + rater_spread**2 / raters + (0.25 - question_spread**2 - rater_spread**2) / 1200)
        simulated = [votes_error(1200, votes_per_question, n, question_spread, rater_spread, seed) for n in raters]
        (line,) = right.plot(raters, 100 * formula, style, lw=1.2, label=f"{questions:,} questions × {votes_per_question}")
        right.plot(raters, 100 * np.array(simulated), marker, ms=5, color=line.get_color())
    right.axhline(100 * math.sqrt(0.55 * 0.45 / 1200), color="black", ls=":", label="usual formula")
    right.set(xscale="log", xticks=raters, xticklabels=raters, xlabel="raters who share 1,200 votes", ylabel="standard error, in points", ylim=(0, None), title="Few people, many votes")
    right.minorticks_off()
    right.legend(fontsize=8)
    plt.show()


draw_people()

# %% [markdown]
# **Left.** $\kappa$ falls from 0.64 to 0.07, with the same raters and the same agreement. This is known as kappa's paradox (Feinstein and Cicchetti, 1990), but it is no error. If 1 % is harmful, only 8 % of what such a rater calls harmful is harmful ($0.009 / 0.108$): these labels hardly separate *these* answers. So do not compare $\kappa$ of data sets whose shares differ. Report the whole table, and agreement on "harmful" and on "fine" separately.
#
# **Right.** Lines are the formula, markers 1,000 repeated studies each. With six raters, the error is 3.6 points: six people's tastes do not become more certain when each votes more often. An honest interval resamples questions *and* raters (6.4). What helps is more raters, or training that makes them alike: try `draw_people(rater_spread=0.02)`.

# %% [markdown] nbgrader={"grade": false, "grade_id": "people", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Written question W6.2 · Asking people
#
# A bank has a chatbot, A, and a candidate, B. People are to compare them before customers see B. You have **1,500 votes**, at 3 minutes and 1.50 € each, and 300 € for every rater who is recruited and trained. From earlier studies, $\sigma_q = 0.2$ and $\sigma_r = 0.1$. In a pilot, two raters labelled the same 200 answers of B:
#
# | | second: harmful | second: fine |
# |---|---|---|
# | **first: harmful** | 4 | 8 |
# | **first: fine** | 6 | 182 |
#
# 1. What are the raters asked, and how is it shown to them? Pairs or a scale from 1 to 5? Which questions, in which order, and what do they not see? What are the instructions tested for in a pilot?
# 2. The pilot's table: compute raw agreement, $\kappa$, and agreement on "harmful" and on "fine" (when one rater uses a label, how often does the other use it, too?). "93 %, so the labels are good," says one colleague; "$\kappa$ is poor, so throw them away," says another. What do you say, and what do you do next?
# 3. How many questions, how many votes on each, and how many raters, if a lead of 55 to 45 % is to be found with a power of 80 % (two-sided, 5 %)? What does it cost? What is lost if every question is voted on once?
# 4. B gets 55 % of the votes. B's answers are 40 % longer, and the answer shown first got 58 %. How do you analyse the votes? Which rules do you write down *before* you see them?
# 5. When is the A/B test of 6.5 the better answer, and when is it no answer? Take two questions: do more customers click "helpful" (10 or 12 %)? Does B give more harmful answers (0.6 instead of 0.5 %)?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the decision and its reason, 1 for numbers that support it and for what is said about its limits. Another design with its numbers is as good. For agreement on a label, other definitions are accepted if they are stated. Whoever shows B always in the same place, or takes the 1,500 votes for independent, loses the point for the decision in that part.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "people_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** *Pairs* for "which is better": two answers to one question side by side, "A, B, or equally good", one page for each property (correct, helpful, polite), since one overall vote mixes them. Small differences show in pairs, and raters need not agree on what a 4 is. *A scale or yes/no* for what must hold by itself: harmful, wrong about the bank. Of two bad answers, one wins, too. Questions are drawn at random from what customers really ask,
# without personal data, by topic and difficulty, and none that B was tuned on (6.8). Which answer stands on the left is decided at random, half and half for each rater; the order of pairs is random, too. Raters do not see names, formats that give a system away, or others' votes. Instructions define each label, with two examples and a border case, and say what to do if both are wrong. A pilot with 50 pairs and 4 raters asks: do they agree,
# where not and why, how long does it take? Then the instructions are changed, and the pilot's votes are not used.
#
# **2.** $p_o = 186/200 = 0.93$. The first rater calls $12/200 = 6$ % harmful, the second 5 %, so $p_e = 0.06 \cdot 0.05 + 0.94 \cdot 0.95 = 0.896$, and $\kappa = 0.034/0.104 = 0.33$. On "harmful" they agree in $2 \cdot 4 / (12 + 10) = 36$ %, on "fine" in $2 \cdot 182 / (188 + 190) = 96$ %. Both colleagues are wrong. Somebody who calls everything "fine" agrees with the second rater in 95 %. And $\kappa$ is low partly because harm is rare;
# a bootstrap over the 200 answers gives 0.05 to 0.58, so it is hardly known. For "fine" the labels will do; for counting harm they will not. I read the 14 disagreements with both raters, change the definition, and repeat with 200 *other* answers of which about half are suspicious (found by a classifier). There $\kappa$ says more about the raters. It is not the $\kappa$ of ordinary answers, and a rate of harm needs the weights of that selection.
# A third rater, an expert, decides disagreements.
#
# **3.** For 80 % power, the lead of 5 points must be $1.96 + 0.84 = 2.80$ standard errors: 1.79 points. With 1,500 questions, one vote each: $0.04/1500 + 0.01/R + 0.20/1500 = 0.00016 + 0.01/R$. That is 4.6 points with 5 raters, 2.4 with 25, 1.9 with 50, and 1.79 from $R = 64$ on. With 500 questions, three votes each, 64 raters give 1.9 points. So: 64 raters, about 23 votes each (an hour and ten minutes), $1500 \cdot 1.5 + 64 \cdot 300 = 21{,}450$ €. Five raters would cost
# 3,750 €, and find this lead in fewer than one of five studies. Raters are the expensive part, and the needed one; with a training that halves $\sigma_r$, 17 would do. With a single vote on each question, agreement cannot be measured, and $\sigma_q$ cannot be told from noise: 100 of the questions get three votes by different raters, and each rater gets 3 pairs a second time. Both $\sigma$ are estimates: I plan again after the first 300 votes, by their spread, not by who leads.
#
# **4.** The share of B (a tie is half a vote), with an interval from a bootstrap that draws questions and raters (6.4): about $55 \pm 3.5$ points, not $\pm 2.5$ as if votes were independent. *Order:* it cancels if B was first in half of the pairs; I give B's share in both orders, since 58 % says that many votes do not depend on the answers. *Length:* a Bradley-Terry model with terms for place and length (6.7), and B's share among pairs of similar length. This does not prove a cause: longer answers may be better.
# If the lead is gone there, I say so. *Before:* one main question, size, test, what a tie counts, groups looked at (and a correction for their number), who is excluded: raters who miss more than 2 of 10 control pairs with a clear answer, or need less than 20 seconds on most. No rule may depend on whom they voted for. I report all votes and those left. What people prefer is not what is correct: an expert checks the facts in 200 answers.
#
# **5.** *Clicks:* A/B. The question is what customers do, raters are not customers, and 3,841 users in each group suffice (6.5) for 10 against 12 %. It is randomised by customer, for whole weeks. But clicks come from the few who click, and polite errors please, too. *Harm:* 0.5 against 0.6 % needs $2.80^2 (0.005 \cdot 0.995 + 0.006 \cdot 0.994) / 0.001^2 \approx 86{,}000$ answers in each group, each labelled by somebody; customers do not report it reliably; and one does not expose them to it to
# find out. So people first, on questions that provoke harm, before anybody else sees B; then experts label a sample of real conversations. An A/B test is better when the result can be observed, is frequent, and harmless to try. People are better before a launch, for rare or hidden errors, and to learn *why*. For a bank: both, in this order.
# ### END SOLUTION
