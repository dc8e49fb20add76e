# %% [markdown]
# ## What you can do now
#
# - Add up tensors around a ring, and say how many bytes every collective costs.
# - Write data parallelism that communicates during the backward pass, and deal out data so that a run can be resumed.
# - Say what stale gradients and local steps do to the place where training ends.
# - Cut a layer, a network, an optimizer or a sequence into parts, and calculate what that saves and sends.
# - Scale a loss correctly over replicas, in PyTorch and in TensorFlow.
# - Use torch's own DDP, FSDP2 and pipeline schedules, start them on several machines, and plan where a model goes.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_distributed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved` beside this chapter's, or in `notebooks` of the course's repository.
#
# 1. How does a ring all-reduce work, what does each rank send, and when would you not use a ring?
# 2. A run on 512 GPUs stands still, without an error. What may have happened, and what do you look at first?
# 3. Why does DDP put gradients into buckets, and in which order does it fill them?
# 4. Each of three ranks averages its loss over its own rows: 3, 3 and 2. What is wrong, and what is correct?
# 5. What does asynchronous training gain, and what does it cost?
# 6. Where must a transformer block communicate in tensor parallelism, and why do the cuts alternate between columns and rows?
# 7. What is a pipeline's bubble, and what does 1F1B improve?
# 8. What does each stage of ZeRO shard, and what does that cost in traffic?
# 9. How can softmax attention be computed in blocks that never see the whole row, and why do causal masks make a ring uneven?
# 10. You get eight servers with eight GPUs each. How do you arrange tensor, pipeline and data parallelism, and why?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. The tensor is cut into $N$ chunks; in $N - 1$ steps each rank gets one complete chunk, in $N - 1$ more all get all. Each sends $2 \frac{N-1}{N} n$ bytes, and in no algorithm does the busiest rank send less. For short tensors the $2(N - 1)$ messages one after the other cost more than the bytes: in a tree, fewer wait for each other.
# 2. A rank did not call the collective in which the others wait: an exception, a branch that only one rank takes, a shorter data set, a dead machine. Look at the stacks of all ranks; the one that stands somewhere else is the cause.
# 3. Few large messages instead of many small ones, and each starts while the backward pass still computes. Gradients of the last layers come first, so buckets are filled from the end.
# 4. The mean of the three means weighs a row of the third rank more: 1/6 instead of 1/8. Divide each rank's sum by 8; DDP divides by 3, so multiply by 3.
# 5. Nobody waits for the slowest. Gradients belong to old weights: the stable learning rate falls, to half for one step of staleness, and results depend on timing.
# 6. Twice forward, after attention and after the MLP, and twice backward, before them. The first matrix, cut by columns, gives whole units or heads, so nothing has to be sent before the nonlinear part; the second, cut by rows, gives terms of a sum.
# 7. The time that stages wait while the pipeline fills and empties: $(p-1)/(m+p-1)$. 1F1B has the same bubble, but keeps activations of at most $p$ micro-batches, not of all $m$, so $m$ can grow.
# 8. Optimizer state; gradients, too; parameters, too: $4 + 12/N$, $2 + 14/N$ and $16/N$ bytes a parameter with AdamW in mixed precision. Stages 1 and 2 send what an all-reduce does; stage 3 gathers the parameters once more, 1.5 times that. With micro-batches, stage 2 reduce-scatters after each, and stage 3 also gathers for each.
# 9. Each block gives its output and the logarithm of its sum of exponentials; two such pairs merge into one, exactly. With a causal mask, a rank with early positions has few keys to look at and one with late positions many, so each rank gets an early and a late piece.
# 10. Tensor parallelism within a server, because each layer waits for it; between servers a pipeline, if the model does not fit otherwise, and data parallelism with ZeRO, whose traffic comes once a step and can hide behind computation. Then measure.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims_distributed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W4.2.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Split the data and train several models." | One model; replicas average gradients in each step. | 4.2, 4.4 |
# | "More processors converge faster." | More samples a second; steps fall only up to the critical batch size. | 3.2, 4.2 |
# | "The parameter server is a third kind of parallelism." | It is a topology for data parallelism, synchronous or not. | 4.4 |
# | "Each device updates independently, and models drift." | Synchronous replicas stay equal; late or local updates drift. | 4.2, 4.4 |
# | "Data parallelism has little overhead." | A full copy of weights, gradients and optimizer state on each device. | 4.7 |
# | "Model parallelism reduces communication." | It adds activations to what is sent, and saves memory. | 4.5, 4.6 |
# | "The parts are trained separately." | One backward pass through all of them; a pipeline has a bubble. | 4.5, 4.6 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# Beside the papers named in the sections:
#
# - Zhao et al., *PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel*, arXiv:2304.11277.
# - Llama team, *The Llama 3 Herd of Models*, arXiv:2407.21783, section 3.3: what all of this looks like on 16,384 GPUs.
