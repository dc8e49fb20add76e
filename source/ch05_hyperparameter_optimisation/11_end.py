# %% [markdown]
# ## What you can do now
#
# - Describe a space of settings with scales, whole numbers and conditions, and say what a random search of it will find with which probability.
# - Scale initial weights and learning rates with a network's width, check that activations agree, and choose a rate on a narrow network.
# - Compute a Gaussian process's posterior and expected improvement where naive formulas lose all their digits.
# - Write Bayesian optimisation, and say on which functions greed fails.
# - Write an evolution strategy that depends on ranks only, and adapts its step.
# - Allot a budget by Hyperband, and promote trials without waiting (ASHA).
# - Say how much of a winner's score is luck, compare searches of different lengths, and select without touching the test set.
# - Run a study in several processes on one storage, and say what that changes.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_hyperparameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved` beside this chapter's, or in `notebooks` of the course's repository.
#
# 1. Why is random search usually better than a grid, and when is it not?
# 2. You have tuned the learning rate of a small model. What do you do for one that is ten times as wide?
# 3. What does a Gaussian process know after ten measurements, and what must you tell it first?
# 4. Why is the *logarithm* of expected improvement computed, and not its logarithm taken?
# 5. When would you *not* use Bayesian optimisation?
# 6. What does it mean that an evolution strategy is invariant, and what is that good for?
# 7. Explain successive halving. What does Hyperband add, and what does ASHA?
# 8. A colleague reports the best of 50 runs, on the validation set. By how much is it too high, and what do you ask for?
# 9. Sixteen workers share a study. What changes for the sampler, and for reproducibility?
# 10. You may run 20 trainings of a model with eight hyperparameters. What do you do?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. It tries as many different values of *each* setting as there are trials, so it loses nothing to settings that do not matter; a grid of $k$ values each tries $k$. With two or three settings that all matter, few discrete values, or when you want to read effects off a table, a grid is fine. Sobol points fill the space more evenly than either.
# 2. In the standard parametrization, the best rate usually falls with width. Use muP: hidden matrices get Adam's rate divided by the factor of width, initial weights and output are scaled, too; check that the activations' changes do not depend on width, then carry the rate over. Check it at a size in between; weight decay, batch size and training length are not covered.
# 3. A mean and a variance at every point, exact for functions drawn from its prior. It must be told (or fit) the kernel, its length scale, the noise and the prior mean; with wrong ones the variance is wrong, too.
# 4. Far from promising points, expected improvement is below the smallest floating-point number: it becomes 0, its logarithm $-\infty$, and its gradient 0, at nearly all candidates after a few dozen points. A formula for the logarithm itself stays finite, and can be maximised.
# 5. When trials are cheap or all can run at once; with many dimensions (above about 20, by a rule of thumb) or many conditional settings; when low-fidelity results are cheap, alone (combine it with early stopping).
# 6. It uses the order of the values only, so any increasing transformation of the objective gives the same points: no scaling, no outliers. It also means that it cannot use how *much* better a point is.
# 7. Start many with a small budget, keep the best third, give these three times as much, and so on. Hyperband repeats it with different numbers of starts, because small budgets may mislead. ASHA promotes as soon as a trial is among the best third of those that *have finished* its rung, so nobody waits.
# 8. Up to 2.25 standard deviations of the noise if the settings are equally good ($e_{50}$), less if they differ: $\sigma^2 e_n / \sqrt{\sigma^2 + \tau^2}$. Ask for new seeds of the chosen one, its test result (once), the number of runs, and the curve of the expected best of $k$.
# 9. Each proposal is made without the results of up to 15 running trials. Without a penalty on running ones (constant liar, or a Gaussian process with guessed results), workers propose neighbours. Each worker needs a seed of its own; what is proposed depends on who finishes first, so runs cannot be repeated. Log everything.
# 10. Fix what is known from published models, search the two or three that matter (learning rate first) on logarithmic scales; on a smaller model if it transfers. Ten Sobol points, then Bayesian optimisation, with early stopping by a rule that I trust. Keep four of the 20 for seeds of the best two. Twenty runs do not optimise eight dimensions.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims_hyperparameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W5.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Random search falls into local optima." | Independent draws cannot be trapped; they do not learn. | 5.1, 5.4 |
# | "A grid finds more than a random part of it." | Less, where few settings matter: it repeats their values. | 5.1 |
# | "The best learning rate must be found anew for each size." | In muP it moves little with width; not a law. | 5.2 |
# | "Bayesian optimisation finds the optimum quickly." | No guarantee; it depends on model, noise and dimensions. | 5.3, 5.4 |
# | "Its complexity is high." | $O(n^3)$ in trials, little beside the trainings. | 5.3 |
# | "Evolution finds the global optimum." | In the limit, as random search does; the step decides. | 5.5 |
# | "40 trials with NSGA-II are evolution." | Not with a population of 50: they are random search. | 5.5 |
# | "The best validation score is the result." | It is too high, and more so the longer the search. | 5.7 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization*, JMLR 13:281, 2012.
# - Feurer and Hutter, *Hyperparameter Optimization*, chapter 1 of *Automated Machine Learning*, Springer 2019 (open access): a survey.
# - Frazier, *A Tutorial on Bayesian Optimization*, arXiv:1807.02811.
# - Ament et al., *Unexpected Improvements to Expected Improvement for Bayesian Optimization*, arXiv:2310.20708.
# - Li et al., *Hyperband*, arXiv:1603.06560, and *A System for Massively Parallel Hyperparameter Tuning* (ASHA), arXiv:1810.05934.
# - Yang et al., *Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer*, arXiv:2203.03466.
# - Godbole et al., *Deep Learning Tuning Playbook*, 2023 (github.com/google-research/tuning_playbook): how people at Google tune.
# - Dodge et al., *Show Your Work*, arXiv:1909.03004, and Tang et al., *Showing Your Work Doesn't Always Work*, arXiv:2004.13705.
