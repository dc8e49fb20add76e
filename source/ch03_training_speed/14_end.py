# %% [markdown]
# ## What you can do now
#
# - Time a program on a device with a queue, and read off a roofline what limits it.
# - Write a schedule, clip by the global norm, and accumulate gradients over unequal micro-batches.
# - Count the bytes that a backward pass keeps, and trade them for operations.
# - Train in mixed precision with a loss scaler of your own, and say what must stay in 32 bits.
# - Prune globally, and tell a mask from a smaller matrix.
# - Quantise per tensor and per row, and train through the rounding.
# - Distil a network, and say what the teacher's wrong answers carry.
# - Freeze a network so that nothing in it moves.
# - Generate with a cache, and count what it saves.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_speed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved` beside this chapter's, or in `notebooks` of the course's repository.
#
# 1. A colleague measures a matrix product at ten times the peak of the card. What happened?
# 2. What does the roofline say, and what does it leave out?
# 3. Four micro-batches of unequal length: why is the mean of their mean losses wrong, and what is right?
# 4. Checkpointing: what is saved, what is paid, and where do you cut?
# 5. Why are master weights kept in float32 although all products run in 16 bits?
# 6. What does a loss scaler do when a gradient overflows, and what must the learning-rate schedule do then?
# 7. 90 % of the weights are pruned, and nothing is faster. Why?
# 8. Per tensor or per row: what decides, and what does it cost?
# 9. Why is the loss on soft targets multiplied by $T^2$?
# 10. How large is a KV cache, and what does it change about the limits of generation?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. The clock stopped when the job had been put into the queue, not when it was done. Synchronise before the first reading and before the second.
# 2. The time is at least the larger of operations by peak and bytes by bandwidth. It leaves out launches, latencies, caches, and everything that does not overlap.
# 3. It weighs a token in a short micro-batch more than one in a long one. Divide the sum over all tokens by the number of all tokens, before the first backward pass.
# 4. Activations inside a segment are thrown away and computed again: one more forward pass, a third more operations. With segments of about the square root of the depth, the peak grows with the root instead of the depth.
# 5. A small update is rounded away if it is smaller than half of the spacing of 16-bit numbers at the weight: 1.0 minus 0.0001 stays 1.0 in bfloat16, a thousand times over.
# 6. It skips the step, halves the scale and starts counting again. The schedule must not advance for a skipped step.
# 7. Masked zeros are multiplied like any other number, and stored like any other. Remove rows or columns, or use a format that the hardware runs faster.
# 8. The largest entry sets the step size of all that share a scale. One row with large entries ruins all the others; a scale for each row costs four bytes a row.
# 9. The gradient through a softmax at temperature $T$ shrinks like $1/T^2$; the factor keeps the two terms of the loss in proportion when $T$ changes.
# 10. Two (keys and values) times layers times key-value heads times head width times length times bytes. Each new token reads all of it, so generation is limited by bandwidth; memory limits how many sequences run at once.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims_speed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W3.3.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Distributed training converges faster." | More samples a second; steps fall only up to the critical batch size. | 3.2 |
# | "AdamW lowers the computational cost." | More state and work a step; often fewer steps. | 3.10 |
# | "FP16 halves memory and time." | Master weights stay; losses are scaled; hardware decides about time. | 3.4 |
# | "Augmentation reduces pre-processing." | It adds work for each sample; storing and prefetching save it. | 3.10 |
# | "Pruning makes training faster." | Masks change neither operations nor bytes. | 3.5 |
# | "Distillation reduces training time." | It adds training, and makes the use cheap. | 3.7 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Williams, Waterman and Patterson, *Roofline: An Insightful Visual Performance Model for Multicore Architectures*, CACM 52(4), 2009.
# - McCandlish et al., *An Empirical Model of Large-Batch Training*, arXiv:1812.06162.
# - Chen et al., *Training Deep Nets with Sublinear Memory Cost*, arXiv:1604.06174.
# - Micikevicius et al., *Mixed Precision Training*, arXiv:1710.03740.
# - Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network*, arXiv:1503.02531.
# - Chowdhery et al., *PaLM: Scaling Language Modeling with Pathways*, arXiv:2204.02311, section 4.1 on MFU.
