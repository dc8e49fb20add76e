# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_speed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W3.3 Claims about training speed
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates, and none is correct as it stands. For **each of the six**, write two or three sentences: what is wrong, what holds instead, and **a number or a source** that shows it. This chapter supplies both.
#
# 1. "Distributed training makes a model converge faster."
# 2. "Adam and AdamW lower the computational cost of training."
# 3. "FP16 halves memory and time."
# 4. "Augmentation reduces the training time."
# 5. "Pruning reduces the number of parameters and so makes training faster."
# 6. "Distillation reduces the training time."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim: 1 for what is wrong and what holds instead, 1 for evidence: a number with its meaning, or a source that says it.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_speed_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, distributed.** It processes more samples a second. The number of steps to a given loss falls with the batch only up to the critical batch size; beyond, more processors buy hardly anything (McCandlish et al., arXiv:1812.06162; figure of section 3.2). With a larger batch the rate has to be scaled and warmed up (Goyal et al., arXiv:1706.02677).
#
# **2, AdamW.** Two further numbers for each parameter, 8 bytes in float32, and several more operations in each update than plain gradient descent. It can need fewer steps, above all on transformers; that is what it saves.
#
# **3, FP16.** With master weights in float32, the usual mixed precision holds as many bytes per parameter as float32 does, 16 with AdamW; activations shrink, at best to half. Small gradients become zero without a scaled loss (Micikevicius et al., arXiv:1710.03740; the histogram of section 3.4). Time falls only where the hardware has faster 16-bit units and the step is not limited by something else.
#
# **4, augmentation.** Augmenting costs time for each sample in each epoch. What is fixed can be computed once and stored; a random change must not be, or it is the same in each epoch. Prefetching and parallel workers hide the cost behind the training step (section 3.10).
#
# **5, pruning.** A mask leaves the dense matrix: operations and bytes are the same (counted in exercise 3.5). Only removed structure makes the matrix smaller. And weights are mostly pruned after training, which then takes longer: train, prune, tune again.
#
# **6, distillation.** The teacher has to be trained first, and runs along while the student learns: more training, not less. What gets cheap is using the student (Hinton et al., arXiv:1503.02531).
# ### END SOLUTION
