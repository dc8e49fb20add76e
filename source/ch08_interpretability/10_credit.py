# %% [markdown] nbgrader={"grade": false, "grade_id": "credit", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W8.1 A credit refused
#
# > **Difficulty** ★★★☆ · **40 minutes** · **10 points** · in writing, marked by a person
#
# A bank's website decides on small credits, without any person. The model gives the log-odds of repayment; from 2 on it is a "yes":
#
# $$f = 2 + 0.8 \cdot \text{income} - 0.05 \cdot \text{debt} + 0.1 \cdot \text{years} - 0.4 \cdot \text{requests}$$
#
# | | income (1,000 € a month) | debt (instalments, % of income) | years at the address | credit requests, last 12 months |
# |---|---|---|---|---|
# | Mira, refused | 2 | 40 | 0 | 3 |
# | mean of all applicants | 2.5 | 30 | 6 | 1 |
# | mean of accepted customers | 3.5 | 20 | 7 | 1 |
#
# Mira came to the country last year. The bank wants to send this letter:
#
# > (a) The main reason is your three requests: they are 35 % of the decision, and have made you less able to repay. (b) With one request we would have said yes. (c) Years at your address, 26 %, and debt, 22 %, came next. SHAP is the only fair method, so these reasons are objective. (d) Your nationality had no influence, as the model does not contain it. (e) The decision of the computer is final.
#
# 1. In a linear model, a Shapley value is the weight times the distance from the background's mean (8.1). Compute all four for both backgrounds, and check the sums. Which question does each of them answer, and which belongs in a letter?
# 2. Correct (a) to (c), sentence by sentence. Would the shares of the *probability* be the same percentages?
# 3. What would Mira have to change, by the model, for a "yes"? Try each feature alone, then a way that is realistic. What does this not promise her?
# 4. Among applicants, years at the address and years in the job are practically equal. A colleague's model uses both, with a weight of 0.05 each, and decides nearly always alike. What happens to the list of reasons? What do you say to (d), and what would you measure?
# 5. Write the letter, in at most 150 words. What does European law ask for, as far as you know it?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for what is computed, 1 for what follows from it and where it ends. In 1, another choice of background with a reason is as good. In 2, "not causal" and the background are both needed. In 4, whoever takes the share of 0 of a missing feature for a proof of fairness loses the point for the conclusion. In 5, a letter that promises a "yes", blames a cause or names no way to object gets at most 1. Law is marked
# generously: what counts is that no more is claimed than is known.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "credit_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** $f(\text{Mira}) = 2 + 1.6 - 2 + 0 - 1.2 = 0.4$, a probability of 60 %. The means give 2.7 and 4.1.
#
# | share of | income | debt | years | requests | sum |
# |---|---|---|---|---|---|
# | against all applicants | -0.4 | -0.5 | -0.6 | -0.8 | $-2.3 = 0.4 - 2.7$ |
# | against accepted customers | -1.2 | -1.0 | -0.7 | -0.8 | $-3.7 = 0.4 - 4.1$ |
#
# Same model, same person, and nearly the opposite order: years are second in the first list and last in the second, income is last and then first. The first answers "why lower than the average applicant", the second "why lower than those who got a credit". A refused person asks the second, so I take it and name the background. (Best would be customers just above the limit: they show what was missing, not how the rich differ.)
#
# **2.** *(a)* 35 % is $0.8 / 2.3$: of the distance to the average applicant's log-odds, not of the decision. Against accepted customers it is 22 %. And shares speak about the model: that requests *made* her less able to repay is a causal claim. Perhaps debt leads to requests; perhaps she compared prices. *(b)* With one request, $f = 0.4 + 0.8 = 1.2$, still a "no". A share is not the distance to the limit, which is 1.6. Even without any request, $f$ would be 1.6, below 2.
# *(c)* True for one background: years, 26 %, fall to 19 % and the last place with the other. "The only fair method": Shapley values are the only ones with four properties, *once* the value of a coalition is chosen. Background, and whether absent features are filled in independently, are choices of ours. Fairness of a decision is another matter altogether.
# *Probability:* no. It is curved, so the shares have to be computed on it, and the mean probability is needed, which is not that of the mean. For a linear $f$ only the means of the background count; for the probability, its rows.
#
# **3.** Missing are 1.6. *Income:* 2,000 € more, so 4,000. *Debt:* 32 points less, so 8 %. *Years:* 16. *Requests:* not possible, 3 to 0 gives 1.2. The largest share in (a) belongs to the only feature that cannot do it alone. *Realistic:* no request for 12 months (+1.2), then one year at the address (+0.1), debt down to 34 % (+0.3): exactly 2. (The new request must not count, or it takes 0.4 more.) This holds for this model. Next year there may be another, or another limit. And it moves
# the score: whether she *repays* more surely because an old request has expired, nobody has measured. Something that a person cannot change soon, as years, is no advice.
#
# **4.** Years split into -0.3 and -0.3 (all applicants), or -0.35 each. Years were second of the first list, and now both are last. In a letter with three reasons, the address is not mentioned any more, though nothing changed for anybody. So correlated features are reported as a group, 0.6 together. *(d)* It does not contain nationality, but whoever came last year has 0 years: the model can act on it without seeing it. A share of 0 for a feature that is not in the model says nothing. I would count, among real
# applicants: how many of each group are accepted, and how many *with the same later repayment*; for refused ones this is unknown, so lend to a random few. Then train without years: what does accuracy lose, what does the group gain? Collecting nationality for this needs a legal basis: ask the lawyer first. SHAP can be deceived on purpose, counts on decisions less easily (8.3).
#
# **5.** "Dear Mira, we have not granted your credit. A computer program decided, without a person. It estimates from four pieces of information how probable repayment is. It used: monthly income 2,000 €, instalments 40 % of it, 0 years at your address, 3 requests for credit in 12 months. Your result is 0.4; 2.0 is needed. Compared with customers whom we accepted, your income and instalments lowered it most, then requests and the time at your address. This describes our program; it is no judgement of you, and does not prove what
# causes what. Requests older than 12 months no longer count, and lower instalments raise the result. We cannot promise a later yes. If something is wrong, tell us. You can ask for a person to decide anew, give your view, and object: [name, telephone, date]."
#
# *Law:* article 22 of the GDPR restricts decisions made by automated means alone that have legal or similarly significant effects. Where such decisions are allowed (contract, law, consent), it asks for at least a person's intervention, a way to give one's view, and to contest: so (e) is wrong. Recital 71 names the automatic refusal of an online credit application, and speaks of an explanation of the decision; recitals are not articles. Article 15 gives access to "meaningful information about the logic involved". Article 86 of the AI Act adds a right to an explanation of decisions with systems of high risk, credit scoring among them, from when it applies. No article asks for SHAP. National credit law and equal
# treatment come on top; a lawyer reads the letter.
# ### END SOLUTION
