# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_overfitting", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.1 Claims about overfitting
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates, and none is correct as it stands. Choose **six**, two points each. For each, write two or three sentences: what is wrong, what holds instead, and
# **a number or a source** that shows it. Figures of this chapter supply numbers for all but 2, where a source will do, and 6: there, count parameters and bytes as in section 1.11 of chapter 1.
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
# **How it is marked.** Two points per claim, six claims. For each claim: 1 point for what is wrong and what holds instead, 1 point for evidence: a number with its meaning, or a source that says it. A seventh claim is not marked.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_overfitting_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, size.** Not in general: test error can fall again beyond the point where the training data is fitted exactly (Belkin et al., arXiv:1812.11118; Nakkiran et al., arXiv:1912.02292). In exercise 2.7 the worst model is the one with
# about as many features as training points, and the largest is among the best. It can hold near that point, and for many passes over the same data (section 2.10).
#
# **2, dropout.** Every sample is still seen by every weight in the long run. What is dropped are units, so that no unit can rely on particular others: it prevents co-adaptation (Srivastava et al., JMLR 15, 2014, abstract).
#
# **3, L2 and decay.** A penalty added to the loss is scaled by Adam's denominator like any gradient, so weights with large gradients are decayed less; decoupled decay shrinks all by the same factor (Loshchilov and Hutter, arXiv:1711.05101). For
# plain SGD the two are the same up to a factor. And the penalty pulls on values; "the weight of parameters" means nothing.
#
# **4, exact zeros.** The *minimiser* has zeros. Gradient descent on $|w|$ steps across zero and back and does not stop there; proximal steps do. In exercise 2.1 the subgradient method has no exact zero where ISTA has several.
#
# **5, cross-validation.** It estimates the error of a procedure, and helps to choose between procedures. The model is as overfitted as before. It even misleads if a step that has seen the labels happens outside the folds: with 2,000 random
# features and random labels, section 2.5 shows an accuracy of over 0.9 that is not there.
#
# **6, compression.** Pruning removes parameters (if structure is removed and not only masked). Quantising keeps their number and stores each in fewer bits: `weight_bytes` of chapter 1 has the count as a factor. Either may act as a restraint; it is not what
# they are for.
#
# **7, ensembles.** Averaging reduces variance and leaves the bias of its members; exercise 2.9 measures both. Trees on tables do not cure a deep network on text, and boosting goes on fitting its training data and can overfit; it is stopped early for that.
#
# **8, flips.** Only if the label survives. A 6 turned by 180 degrees is a 9; a mirrored 2 is no digit. An augmentation says "these two inputs have the same label", and must be true. In section 2.6, training with flips that keep their labels lowers the accuracy on upright digits.
#
# **9, several tasks.** If the tasks are related, sharing helps; if not, they compete for the shared part. Exercise 2.8 shows both: with one shared unit, related tasks gain over separate models, and unrelated ones lose several times over.
# ### END SOLUTION

