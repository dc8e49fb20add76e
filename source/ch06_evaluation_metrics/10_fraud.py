# %% [markdown]
# ## W6.1 Metrics for fraud
#
# > **Difficulty** ★★★☆ · **45 minutes** · **10 points** · in writing, marked by a person
#
# About one card payment in a thousand is fraud. A model gives each payment a probability $p$, and a team looks into the alarms. Suppose that an alarm costs $c = 10$ €, whether it is right or not, and that a missed fraud costs its amount $a$. An alarm is then worth its price if $p \cdot a > c$, that is, if $p > c / a$ (after Elkan, *IJCAI* 2001). So each amount has its own threshold: 0.5 for 20 €, 0.005 for 2,000 €. But $p$ must be **calibrated** (6.3).
#
# Often the threshold with the best F1 is taken instead. For calibrated probabilities, it is half of the best F1 itself (Lipton et al., arXiv:1402.1892): it depends on how good the model is, not on what errors cost.
#
# Thresholds are chosen on one generated month of 500,000 payments, with the true probabilities as $p$, and everything is counted on the next. **Predict:** which rule has the highest precision, which the highest recall, and which is cheapest? One rule uses a model that was trained on as many frauds as honest payments, and not corrected.

# %% tags=["demo"]
def fraud_month(seed, n_payments=500_000):
    """Amounts in euros, probabilities of fraud, and which payments are fraud: about one in a thousand."""
    generator = np.random.default_rng(seed)
    log_amount = generator.normal(0, 1.2, n_payments)
    p = 1 / (1 + np.exp(15 - 0.4 * log_amount - 4.5 * generator.normal(size=n_payments)))
    return 40 * np.exp(log_amount), p, generator.random(n_payments) < p


def draw_fraud(alarm_cost=10, seed=0):
    amount, p, fraud = fraud_month(2 * seed)
    order = np.argsort(-p)
    n_alarms, found = np.arange(1, len(p) + 1), np.cumsum(fraud[order])
    f1 = 2 * found / (n_alarms + fraud.sum())
    cost = alarm_cost * n_alarms + (amount * fraud).sum() - np.cumsum((amount * fraud)[order])
    f1_threshold, cost_threshold = p[order[f1.argmax()]], p[order[cost.argmin()]]
    share = fraud.mean()

    amount, p, fraud = fraud_month(2 * seed + 1)
    money = amount * fraud
    balanced = p * (1 - share) / (p * (1 - share) + (1 - p) * share)  # what a model says after training on a mix of half and half
    rules = {
        "no alarm at all": np.zeros(len(p), bool),
        "p ≥ 0.5": p >= 0.5,
        f"p ≥ {f1_threshold:.2f} (best F1: {f1.max():.2f})": p >= f1_threshold,
        f"p ≥ {cost_threshold:.2f} (lowest cost)": p >= cost_threshold,
        f"p · amount > {alarm_cost} €": p * amount > alarm_cost,
        "the same, p of a balanced mix": balanced * amount > alarm_cost,
    }
    costs = {}
    print(f"{'rule':30}  alarms  precision  recall  recall of money  cost in €")
    for name, alarm in rules.items():
        costs[name] = alarm_cost * alarm.sum() + money[~alarm].sum()
        precision = f"{fraud[alarm].mean():9.2f}" if alarm.any() else "        –"
        print(f"{name:30} {alarm.sum():7,}  {precision}  {fraud[alarm].sum() / fraud.sum():6.2f}  {money[alarm].sum() / money.sum():15.2f}  {costs[name]:9,.0f}")

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    order = np.argsort(-p)[:30_000]
    cost = alarm_cost * np.arange(1, 30_001) + money.sum() - np.cumsum(money[order])
    left.plot(p[order], cost / 1000, label="one threshold for all")
    for threshold, style, label in ((f1_threshold, ":", "best F1"), (cost_threshold, "--", "lowest cost, month before")):
        left.axvline(threshold, color="black", ls=style, lw=1.2, label=label)
    left.axhline(list(costs.values())[4] / 1000, color="C5", ls="-.", label=f"p · amount > {alarm_cost} €")
    left.set(xscale="log", xlim=(0.005, 1), ylim=(0, 1.45 * money.sum() / 1000), xlabel="threshold on $p$", ylabel="cost of the month, in 1,000 €", title="Which threshold?")
    left.legend(fontsize=8, loc="lower left")
    for ranking, label, color in ((p, "$p$", "C0"), (p * amount, "$p$ · amount", "C5")):
        order = np.argsort(-ranking)[:3000]
        right.plot(np.cumsum(money[order]) / money.sum(), color=color, label=f"money, ranked by {label}")
        right.plot(np.cumsum(fraud[order]) / fraud.sum(), "--", lw=1.2, color=color, label=f"frauds, ranked by {label}")
    right.set(xlabel="cases that the team can look at", ylabel="share found", title="Which cases first?", ylim=(0, 1))
    right.legend(fontsize=8, loc="lower right")
    plt.show()


draw_fraud()

# %% [markdown]
# The limit by amount finds *fewer* frauds than the best single threshold, with lower precision, and is 9 % cheaper (9 to 18 % in the months of seeds 0 to 3): it finds the large ones. F1's threshold costs 18 % more than the one chosen by cost. The uncorrected probabilities cost six times as much as no model at all. With 500 cases, ranking by $p \cdot a$ finds 59 % of the money, ranking by $p$ 48 %; by the number of frauds, the order is the opposite. So a report says **which** recall it means.
#
# **Change, predict, run.** `draw_fraud(alarm_cost=40)` makes alarms four times as expensive. Which of the thresholds move, and which way?
#
# <details><summary>What you should see</summary>
#
# The one chosen by cost rises from 0.11 to 0.32. F1's stays, and now costs more than $p \ge 0.5$. The limit by amount is still the cheapest.
# </details>

# %% [markdown] nbgrader={"grade": false, "grade_id": "fraud", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Written question W6.1 · Metrics for fraud
#
# A company handles **2,000,000 payments a day**; one in a thousand is fraud, of 150 € on average. A payment that is stopped costs 4 € of work; if the customer is honest, 6 € more for calls and lost customers. Stopping a fraud saves 90 % of its amount. The team can handle **3,000 cases a day**. Of the frauds, 60 % are reported within 30 days, 90 % within 60, and 99 % within 120.
# The present system also declines 1,000 payments a day without anybody looking at them.
#
# A colleague has trained a network on all known frauds and as many honest payments, and tested it on a random tenth of last year's payments, in their natural mix: "Accuracy 99 %, AUC 0.98. At the threshold 0.5 it finds 80 % of the fraud with only 1 % of false alarms. Let us use it."
#
# 1. What do these three statements say, and what not? How many alarms a day are these, with which precision, and what would they earn, if the team had the time?
# 2. From which probability on should a payment of 20, 200 and 2,000 € be stopped? The network says 0.9: what is the probability, and from which amount on do you stop? How do you check such probabilities?
# 3. The team has 3,000 cases a day. In which order are they taken? Which metrics do you report, and what is the best possible value of each? Where do their error bars come from?
# 4. It is 1 July. Which payments may be in the test set, and how is it split? Of the network's alarms among payments that nobody stopped, 30 % are fraud in truth: which precision do you count 30 days later? What do you do about the payments that were declined?
# 5. Write down the suite: what decides, what must not get worse, for which segments, and what is watched each day before the labels arrive. When do you go back to the old system? Would an A/B test (6.5) help?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the decision and its reason, 1 for numbers that support it and for what is said about its limits. Other assumptions, if stated, are as good. Whoever decides by accuracy, AUC or F1 alone, takes the network's outputs for probabilities without correction, or splits at random by rows loses the point for the decision in that part.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "fraud_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** *Accuracy*: never raising an alarm has 99.9 %, so 99 % is worse than nothing, by a measure that counts all errors alike. *AUC*: a random fraud is ranked above a random honest payment with a probability of 0.98, over all thresholds, most of which nobody could use. *1 % of false alarms* is 1 % of the honest payments: 19,980 a day, beside $0.8 \cdot 2000 = 1600$ frauds.
# That is 21,580 alarms, seven times what the team can do, with a precision of 7.4 %. They save $1600 \cdot 0.9 \cdot 150 = 216{,}000$ € and cost $4 \cdot 21{,}580 + 6 \cdot 19{,}980 = 206{,}200$ €: hardly anything is earned. (If the frauds found are of average size. The statements do not say that.)
#
# **2.** Stop if $0.9\,a\,p > 4 + 6(1 - p)$, so if $p > 10 / (0.9a + 6)$: 0.417 for 20 €, 0.054 for 200 €, 0.0055 for 2,000 €. The network has learnt from a mix with odds of 1:1; in truth they are 1:999. So its odds are divided by 999 (6.2): 0.9 becomes $9/999$, a probability of 0.9 %. Such a payment is stopped from 1,238 € on. (And its 0.5, the colleague's threshold, is 0.1 %.) This holds
# if the network is calibrated on its own mix, so I check on later payments in their natural mix: of those with $p$ about 1, 5, 20 %, how many are frauds? Bins on a logarithmic scale, since nearly all payments lie below 1 %, and separately by amount; then the sum of $0.9\,a\,p$ over stopped payments against the money saved. If it is off, one fits a calibration (6.3) on a month of its own.
#
# **3.** By expected net saving, $0.9\,a\,p - 4 - 6(1 - p)$, as long as it is positive. *Precision at 3,000*: at most $2000/3000 = 67$ %. *Recall of money at 3,000*: at most 100 %. *Net saving a day*, which decides: at 30 % precision and 250 € for each fraud found, $900 \cdot 0.9 \cdot 250 - 4 \cdot 3000 - 6 \cdot 2100 = 177{,}900$ €. *Net saving of the last 100 cases*: it says whether more people would pay.
# For one day, the precision has a standard error of $\sqrt{0.3 \cdot 0.7 / 3000} = 0.8$ points if cases are independent. They are not: a stolen card is used several times. And few large amounts carry much of the money. So bootstrap over cards and days (6.4), and compare two models on the same payments, pairwise.
#
# **4.** A payment needs 120 days to get its label: the last test day is 3 March. Training data come before the test period, with a gap as long as labels would have been missing at the time of training. Split by time, since fraud changes, and no card on both sides; random rows have neither. After 30 days, only 60 % of the frauds that went through are known: 30 % look like 18 %. One can divide by 0.6, if large and small frauds, and
# those with high and low scores, are reported equally fast; old months tell. Declined payments never get a label. The test data are those that the *old* system let pass: its errors, without its successes, so a comparison on them is unfair. I let a random 5 % of the declined ones pass (small amounts, say), or have them checked by hand, and count each 20 times. That is 50 a day, 1,500 in a month: their precision with
# an error of 1.3 points at most. If 40 % are fraud, this costs 3,000 € a day at 150 €. Some payments with low scores are looked at, too: what nobody reports is never counted.
#
# **5.** *Decides:* net saving a day at 3,000 cases, with an interval for the difference to the old system. *Must not get worse:* honest customers stopped (2,100 a day, 0.1 %), calibration, time to decide. *Segments:* country, new customers, online or in a shop, amount. With 50 frauds in a segment, recall has an error of 7 points ($\sqrt{0.25/50}$), so small ones are pooled over months; where honest customers of a group are stopped more
# often, somebody has to answer why. *Daily, without waiting:* alarms a day, the distribution of scores and inputs against the training month, and the precision of the cases that the team has closed: it is known the same day. *Later:* recall of money, when labels are complete. If fraud becomes twice as frequent, all odds double and all thresholds on an uncorrected $p$ are wrong. *Back to the old system*, by a rule written
# before: for example, precision of cases below 20 % on two days, or twice as many honest customers stopped. *A/B*: yes, cards assigned at random to old and new, 1,500 cases each, compared by net saving; it also repairs the selection of part 4. But it needs 120 days for its labels, a few large frauds decide it, and criminals adapt to what they meet.
# ### END SOLUTION
