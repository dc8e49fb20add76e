# %% [markdown]
# ## What you can do now
#
# - Say what overfitting is, and read bias and variance off a set of fits.
# - Fit an elastic net, and explain why plain gradient steps find no exact zeros.
# - Write AdamW with parameter groups, and say where it differs from an L2 penalty.
# - Write dropout in two frameworks and test it by its statistics.
# - Stop training at the best epoch and give back its weights.
# - Cross-validate without leaks, and recognise a leak by a result that is too good.
# - Augment without changing labels; mix inputs and labels.
# - Produce double descent, and remove its peak.
# - Share a trunk between tasks, and tell transfer from interference.
# - Say what an ensemble averages away, and what it does not.
# - Say how often a language model may read the same text.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_overfitting", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved` beside this chapter's, or in `notebooks` of the course's repository.
#
# 1. The training loss falls, the validation loss rises. Which three things do you try first, and why?
# 2. Why does L1 give exact zeros, and why does an optimizer not find them?
# 3. L2 regularisation and weight decay: the same? With which optimizer does it matter?
# 4. Why is dropout scaled by $1/(1-p)$ in training, and what changes at test time?
# 5. Early stopping restored the wrong weights. What is the likeliest bug?
# 6. A colleague selects the 50 best of 20,000 genes and then cross-validates a classifier: 95 %. What do you ask?
# 7. Which augmentations would you refuse for digits, for X-ray images, for text?
# 8. The test error has a peak where features equal samples. Explain it without the word overfitting.
# 9. Does averaging ten networks cure overfitting?
# 10. Two tasks share a trunk and one gets worse. How do you find out why, and what do you do?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. Check for leaks and a wrong split; stop at the minimum (free); more or augmented data; then decay or dropout; a smaller model last. Order by cost, and change one thing at a time.
# 2. The penalty has a kink at zero, so zero is a minimiser as long as the slope of the loss there is smaller than the penalty's. Subgradient steps overshoot the kink; a proximal step lands on it.
# 3. The same for plain SGD, up to a factor. With Adam a penalty's gradient is divided by the root of the second moment, so weights with large gradients are hardly decayed; AdamW decays all alike.
# 4. So that the expected activation is the same with and without dropout; then nothing has to change at test time, where every unit is kept.
# 5. A state dict holds references: the "best" weights went on training. Copy the tensors.
# 6. Whether the selection saw the labels of the test folds. On random labels the same procedure gives far more than chance; selection belongs into each fold.
# 7. Those that change the label: turning digits by 180 degrees, mirroring an X-ray (the heart is on the left), exchanging or dropping words such as "not".
# 8. There, exactly one function of the family fits all the training points, and its coefficients are huge because the smallest singular value of the design is near zero; noise is divided by it. With more parameters many functions fit, and
#    least squares picks the smallest.
# 9. It reduces the variance part of the error, most if the members disagree. What all of them get wrong stays.
# 10. Train each alone as the baseline; compare the angle between the tasks' gradients on the trunk. Then weight the losses, give each task more of its own layers, project conflicting gradients, or separate the tasks.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W2.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Large models overfit more easily." | Test error can fall again beyond the interpolation point. It can hold close to that point, and for many passes over the same data. | 2.0, 2.7, 2.10 |
# | "Dropout reduces dependence on training samples." | It prevents co-adaptation of units. | 2.3 |
# | "L2 regularisation is weight decay." | Only for plain gradient descent. | 2.2 |
# | "L1 makes weights zero." | Its minimiser has zeros if the penalty is large enough; gradient steps do not get there. | 2.1 |
# | "Cross-validation prevents overfitting." | It estimates and selects, and leaks if preprocessing stands outside the folds. | 2.5 |
# | "Quantisation reduces parameters." | It keeps the count and lowers the bits. | W2.1 |
# | "Ensembles solve overfitting." | Averages reduce variance, not bias; boosting can overfit. | 2.9 |
# | "Flip and rotate for robustness." | Only what keeps the label. | 2.6 |
# | "Learning tasks together improves each." | Related ones, given a trunk with room for what they do not share; others interfere. | 2.8 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 2nd edition, 2009: chapters 3, 7 and 15.
# - Beck and Teboulle, *A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems*, SIAM J. Imaging Sciences 2(1), 2009.
# - Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv:1711.05101.
# - Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15, 2014.
# - Zhang et al., *mixup: Beyond Empirical Risk Minimization*, arXiv:1710.09412.
# - Belkin et al., *Reconciling modern machine learning practice and the bias-variance trade-off*, arXiv:1812.11118.
# - Nakkiran et al., *Deep Double Descent*, arXiv:1912.02292.
# - Yu et al., *Gradient Surgery for Multi-Task Learning*, arXiv:2001.06782.
# - Muennighoff et al., *Scaling Data-Constrained Language Models*, arXiv:2305.16264.
