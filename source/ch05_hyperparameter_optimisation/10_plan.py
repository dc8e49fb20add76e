# %% [markdown] nbgrader={"grade": false, "grade_id": "plan_search", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W5.2 A hundred GPU-hours
#
# > **Difficulty** ★★★☆ · **60 minutes** · **10 points** · in writing, marked by a person
#
# You are to train a transformer with 24 layers of width 2,048 on 20 tokens for each parameter, and have **100 GPU-hours to choose its hyperparameters**, on eight GPUs. (The final run is paid separately.) Learning rate, weight decay, warm-up, the scale of the initial weights and batch size are open.
#
# Count $12 \cdot \text{layers} \cdot \text{width}^2$ parameters and $6ND$ operations (1.11). A GPU does $4 \cdot 10^{14}$ useful operations a second at width 2,048, and $3$, $2$ and $1 \cdot 10^{14}$ at 1,024, 512 and 256. A colleague proposes a grid: five learning rates, four weight decays, four warm-ups, three scales, three batch sizes.
#
# 1. What does one full run cost, and what does the grid? How many full runs can you afford?
# 2. Which smaller model do you search on, and what does a run of it cost? Which of the five settings may be carried over to the full size, which not, and what has to be done for that?
# 3. Which space (ranges, scales, what you know beforehand), which method, how many trials, and which are stopped early? What does this cost? What may go wrong with stopping early here?
# 4. Spend the rest, with numbers: how do you find out whether the choice holds at full size? How do you deal with luck?
# 5. Eight GPUs work in parallel. What changes? Two things that may go wrong during these 100 hours, and what you do about each. What would you give up with 20 hours?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the decision and its reason, 1 for numbers that support it and for what is said about its limits. A different plan within 100 hours is as good. Whoever searches at full size, uses the standard parametrization without a word about how the rate moves with width, or reports the best of many runs as the result, loses the point for the
# decision in that part.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "plan_search_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** $N = 12 \cdot 24 \cdot 2048^2 = 1.21 \cdot 10^9$, $D = 2.4 \cdot 10^{10}$, so $6ND = 1.75 \cdot 10^{20}$ operations: 122 hours. The budget does not pay for one run. The grid has 720 points: 88,000 hours, more than a year on eight GPUs, for five different learning rates.
#
# **2.** The same network at an eighth of the width, 256: $1.9 \cdot 10^7$ parameters, $3.8 \cdot 10^8$ tokens, $4.3 \cdot 10^{16}$ operations, 7 minutes (0.12 hours); 24 layers and the kind of data stay. In muP (5.2; Yang et al., arXiv:2203.03466), with initial weights and Adam's rates scaled for each tensor, the learning rate, warm-up and scale of the initial weights are carried over width: in the standard parametrization the best rate moves.
# The paper does *not* claim it for regularisation such as weight decay, and across batch size and training length it is experience, not theory. So weight decay is checked at a larger size, and the batch size is not searched. First a coordinate check: the activations' changes must not depend on width (minutes: a few steps at each width).
#
# **3.** Learning rate log-uniform over three powers of ten around the rate of a similar published model; weight decay log-uniform from 0.01 to 1, *and* 0.1 as a first trial; warm-up 0.5 to 3 % of the steps, so that it ends before the first rung, at 3.7 %; scale log-uniform from ¼ to 4. $\beta_2$, clipping, and the schedule's shape stay as usual. Published settings are put in as first trials. The batch size
# is chosen for the hardware, below the critical size (3.2). ASHA with $\eta = 3$ on 243 trials, from Sobol points at first, then TPE: 243 at 1/27 of the tokens, 81 at 1/9, 27 at 1/3, 9 in full, resumed: $\frac{243}{27} + 81 \cdot \frac{2}{27} + 27 \cdot \frac29 + 9 \cdot \frac23 = 27$ runs' worth, 3.2 hours instead of 29. Danger: what is good early is not good at the end. Large rates start
# fast (5.6), and an early decay of the rate lowers the loss at once. So each rung is compared before the decay begins (warm-up, then a constant rate, decay only at the end), and nothing is stopped during warm-up.
#
# **4.** Luck first: the best 8, in full, with 4 *common new* seeds each, 32 runs or 3.8 hours; choose by means, with the paired error of the lead (5.7). If losses of different seeds have a standard deviation of 0.004 nats, the best of the 9 full runs is $1.5 \cdot 0.004 = 0.006$ nats too good if they are equal in truth ($e_9 = 1.5$), and these 9 were themselves chosen from 243, by the same runs. Then sizes. Width 512 (0.95 hours a run): half, one and two times the chosen rate, three seeds, 8.6 hours: does the bottom stay in place? Width
# 1,024 (10.1 hours): half, one and two times the weight decay, 30.4 hours. Full size, the first tenth of the tokens: half, one and two times the rate, 36.5 hours, to see that nothing diverges and that the middle one is not the worst. Together with the search 82.5 hours, 17.5 in reserve. If the bottom is flat, take the lower rate. The final model is tested once.
#
# **5.** Workers ask a common storage (a database, not SQLite on a network disk). ASHA promotes without waiting for a rung to be full; TPE counts running trials as bad ones, so that eight workers do not propose the same; 7 of 243 results missing at each proposal cost little. The order depends on timing, so the search is not repeatable: all settings, seeds and results are logged, and the chosen one is trained again.
# *A worker dies*: heartbeats mark its trial as failed, and it is resumed from its checkpoint. *Trials diverge*: a loss of NaN is reported as a bad result, not as a missing one, or the sampler goes there again. With 20 hours: search and seeds (7 hours), the check at width 512 (8.6), 4 hours of the full size's beginning with one rate. Weight decay stays at the published value.
# ### END SOLUTION
