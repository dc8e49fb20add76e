# %% [markdown]
# ## What you can do now
#
# - Say what precision remains where positives are rare, and whether 80 % means 80 %.
# - Plan a benchmark or a test with users, and say what its result shows.
# - Say which perplexities may be compared, and what a judge's bias does to a leaderboard.
# - Derive a threshold from costs, and plan an evaluation by people.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_metrics", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved`, or in `notebooks` of the course's repository.
#
# 1. Macro, micro or weighted F1: when do you take which, and why not the mean of the batches' values?
# 2. A filter had a precision of 90 % in a test with as many positive as negative cases. In use, 5 % are positive. What precision do you expect, and what do you assume?
# 3. What does it mean that a model is calibrated? What does a temperature change, and what not? Why does a good model have an expected calibration error above 0?
# 4. Of 500 questions, model A answers 69 % correctly and model B 71 %. Is B better?
# 5. Your manager looks at an A/B test every day and wants to stop as soon as it is significant. What do you say?
# 6. Model A has a perplexity of 12 with 32,000 tokens in its vocabulary, model B 18 with 128,000. Which is better?
# 7. A language model ranks chatbots in pairs. What can be wrong with the leaderboard, and how do you find out?
# 8. How would you find out whether a model was trained on your benchmark?
# 9. How do you choose the threshold of a fraud detector?
# 10. Two raters each call 3 % of the answers harmful. They agree on 95 %, and $\kappa$ is 0.14. What do you do?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. Macro if each class matters equally, however rare; micro if each sample does (it is accuracy if every sample has one class and all classes count); weighted gives frequent classes more weight, so it hides rare ones as accuracy does. F1 is a ratio of sums, and a mean of ratios is another number that depends on the batch size and on which classes happen to be in a batch. Add up the confusion matrix, then divide once. Say what 0/0 counts, and which of the two definitions of macro-F1 it is.
# 2. With recall $R$, the false positive rate is $R/9$, since 9 of 10 alarms were right at 1:1. At 5 %: $0.05 R / (0.05 R + 0.95 R / 9) = 0.32$. This assumes the same threshold, and that positives look as they did in the test, and negatives, too. Recall and ROC AUC stay, precision and average precision do not.
# 3. Of the cases with $p = 0.8$, 80 % are positive. It says nothing about ranking: always saying the base rate is calibrated. A temperature divides the logits; it changes confidence, not the most probable class. It is fitted on data that neither training nor the test uses. ECE takes the absolute value of each bin's deviation, so chance does not cancel: in the example of 6.3, a perfectly calibrated model has about 0.06 with 100 cases and eight bins, and more with more bins. Compare with that, or use Brier score or log loss, which also reward sharp forecasts.
# 4. As two separate samples, the difference of 2 points has a standard error of $\sqrt{2 \cdot 0.21 / 500} = 2.9$ points. But both answered the same questions, so I ask for the table: if B alone is correct on 40 and A alone on 30, McNemar's exact test gives $p = 0.28$; not shown. With 10 and 0 it would be 0.002. Are questions clustered, were answers sampled, were prompts tuned for one of them?
# 5. Each look is a further chance for a false alarm: ten looks at 5 % each make 19 %. Either the size is fixed beforehand and we look once, or the looks are planned with a boundary (Pocock: 2.56 standard errors at each of ten looks, O'Brien–Fleming: high at first), or a method is used that allows looks at any time (e-values). A stop for harm can be planned as well.
# 6. It cannot be said: perplexity is per token, and B's tokens are longer. Bits per byte, on the same text: $\log_2 12 / 3.5 = 1.02$ if A's tokens have 3.5 bytes on average, $\log_2 18 / 4.5 = 0.93$ if B's have 4.5: then B is better. Also the same context and stride, and text that neither has seen.
# 7. Bias to a position, to length, to itself: ask in both orders and count flips, put length into a Bradley-Terry model, take several judges, compare with people on a sample. Elo depends on the order of games; fit Bradley-Terry to all instead. Opponents and prompts are unequal: win rates mislead. Bootstrap over prompts, and do not rank what overlaps.
# 8. With the training data: search for shared n-grams, which misses rephrased or translated questions and finds common phrases. Without: if the benchmark's order is arbitrary, does the model prefer the published order to shuffled ones (a permutation test, arXiv:2310.17623)? It is blind to copies in another order. Or compare scores on original and rephrased questions, minus the same gap of a model that cannot have seen them. A test that finds nothing proves little if its power is low. Best: questions written after the training.
# 9. From costs: stop if the expected loss, probability times amount, is above what an alarm costs. So probabilities must be calibrated in the true mix, and the limit differs by amount. If the team is smaller than that, rank by expected saving and take the first. Not from F1, which knows no costs. Test on later data with complete labels; think about cases that were blocked and never labelled.
# 10. Look at the table. Chance alone gives $0.03^2 + 0.97^2 = 94$ %. They disagree on 5 %, so both say "harmful" for 0.5 %, a sixth of what each calls harmful. So the labels are of little use for counting harm, but $\kappa$ is also low because harm is rare, and uncertain with few cases. Read the disagreements, improve the definition, label a set with more harmful answers, let a third person decide.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims_metrics", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W6.3.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Precision is the share of positives among the correctly predicted." | Among those *predicted as positive*: TP / (TP + FP). | 6.1 |
# | "Micro-F1 is accuracy." | Only if each sample has one class and all classes count. | 6.1 |
# | "Metrics evaluate generalisation." | New data of the kind that will come do; a metric says what is counted. | 6.2, 6.8 |
# | "AUC is 0.92, so alarms can be trusted." | AUC does not see how rare positives are; precision can be below 1 %. | 6.2 |
# | "A perfectly calibrated model has an ECE of 0." | Above 0 on finite data: about 0.06 with 100 cases in eight bins. | 6.3 |
# | "83 against 80 % on 164 questions: B is better." | A standard error is 3 points; a test notices such a lead in one of eight comparisons. | 6.4 |
# | "A 95 % interval contains the truth in 95 %." | Not if there are few samples and the share is near 1, or if clusters are ignored. | 6.4 |
# | "Stop the test when $p < 0.05$." | Ten looks: 19 % false alarms. | 6.5 |
# | "The lower perplexity is the better model." | Only with the same tokens; else bits per byte. | 6.6, 6.9 |
# | "pass@k is $1 - (1 - c/n)^k$." | That draws with replacement, and is too low on average. | 6.6 |
# | "Elo ranks models." | Its ranking also depends on the order of the games. | 6.7 |
# | "No shared n-gram, no contamination." | Rephrased questions may share none. | 6.8 |
# | "Take the threshold with the best F1." | F1 knows no costs; they give the threshold. | W6.1 |
# | "93 % agreement is good" / "$\kappa = 0.33$ is bad." | Both depend on how frequent the labels are. | W6.2 |
# | "Accuracy is high, so the language model is good." | It counts all errors alike, and ignores confidence; most of what it writes has no single right answer. | W6.3 |
# | "On average over tasks, sharing a network helps." | The average hides the task that becomes worse: report each. | W6.3 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Kohavi, Tang and Xu, *Trustworthy Online Controlled Experiments*, 2020: a book on A/B tests.
# - Ramdas et al., *Game-Theoretic Statistics and Safe Anytime-Valid Inference*, arXiv:2210.01948: e-values, and looking at any time.
# - Artstein and Poesio, *Inter-Coder Agreement for Computational Linguistics*, Computational Linguistics 34:555, 2008.
