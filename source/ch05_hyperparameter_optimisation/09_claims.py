# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_hyperparameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W5.1 Claims about hyperparameters
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates, and none is correct as it stands. For **each of the six**, write two or three sentences: what is wrong, what holds instead, and **a number or a source** that shows it. This chapter supplies both.
#
# 1. "Random search easily falls into local optima."
# 2. "Random search tries a part of all combinations, so a grid finds more."
# 3. "Bayesian optimisation finds the optimum quickly."
# 4. "The disadvantage of Bayesian optimisation is its high complexity."
# 5. "Evolutionary algorithms can find the global optimum."
# 6. "I used an evolutionary algorithm: NSGA-II in optuna, 40 trials."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim: 1 for what is wrong and what holds instead, 1 for evidence: a number with its meaning, or a source that says it.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_hyperparameters_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, local optima.** Trials are drawn independently from one distribution; there is no current point that could be trapped. Each trial has the same chance $q$ of being among the best share $q$ of the space, so $n$ trials hit it with $1 - (1 - q)^n$: 59 trials hit the best 5 % with a probability of 95 %. Its weakness is a different one: it learns nothing from
# earlier trials. On the function of 5.4 with a wide valley and a narrow, deeper well, 3.9 % of the axis lies below $-0.9$, so twelve random trials get there in 38 % of searches, whatever they saw first; expected improvement, with three first measurements in the valley, in 85 % (256 of 300 random choices of these three, length 0.08).
#
# **2, a part of all combinations.** Continuous settings are drawn from distributions; there is no list of combinations. Where few settings matter, the grid finds less: of sixteen trials in two dimensions, a grid tries four learning rates, random search sixteen (Bergstra and Bengio, *JMLR* 13:281, 2012).
#
# **3, quickly.** Nothing is guaranteed within a given budget, and all depends on the model. On the same function, from such starts, going where the posterior *mean* is lowest found the deep well in 0 of 100 searches; and with a length that does not fit, expected improvement misses it, too (5.4). It suits continuous spaces of fewer than about 20 dimensions (Frazier, arXiv:1807.02811). What is true: on average over many problems it
# beats random search (the challenge of NeurIPS 2020, Turner et al., arXiv:2104.10201).
#
# **4, complexity.** A Gaussian process costs $O(n^3)$ for $n$ trials: with 1,000 trials, about $3 \cdot 10^8$ operations for a Cholesky decomposition, well under a second. (optuna's sampler, which also fits the kernel, takes some tenths of a second a trial.) A training run takes minutes to weeks. What limits it is the number of dimensions, the noise that must be modelled, and that it is sequential: workers in parallel know less (5.8).
#
# **5, global optimum.** With parents kept and a mutation that reaches every point, the probability of finding it tends to 1 as the number of evaluations tends to infinity (Rudolph, *IEEE Transactions on Neural Networks* 5:96, 1994, for genetic algorithms). The same holds for random search; it says nothing about any finite number. Details decide: in ten dimensions, the best of 600 evaluations has
# the loss $8 \cdot 10^{-5}$ with a step that adapts and 0.08 with a fixed one (medians of ten runs, 5.5), and that on a bowl, where all is downhill.
#
# **6, NSGA-II with 40 trials.** optuna's default population has 50 members, and the first generation is drawn at random. So no trial had parents: 40 trials with `NSGAIISampler` equal those of `RandomSampler` with the same seed bit for bit (5.5). And its selection is made for several objectives. With few trials, make the population smaller, or use the default sampler (TPE).
# ### END SOLUTION
