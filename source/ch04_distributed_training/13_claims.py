# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_distributed", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W4.2 Claims about distributed training
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates, and none is correct as it stands. For **each of the six**, write two or three sentences: what is wrong, what holds instead, and **a number or a source** that shows it. This chapter supplies both.
#
# 1. "For parallel training, split the data set and train several models at once, one on each part."
# 2. "There are three kinds of distributed training: data parallelism, model parallelism and the parameter server."
# 3. "In data parallelism, each device computes gradients and updates independently, so the models drift apart."
# 4. "Data parallelism has little overhead."
# 5. "Model parallelism reduces communication."
# 6. "In model parallelism, the parts are trained separately, at the same time."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim: 1 for what is wrong and what holds instead, 1 for evidence: a number with its meaning, or a source that says it.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_distributed_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, several models.** Data parallelism trains *one* model: all replicas start equal, average their gradients in each step, and stay equal (to $10^{-10}$ in section 4.10). Models trained on parts are an ensemble, and their average is a different point: with the three losses of section 4.4, 1.00 instead of 2.43.
#
# **2, parameter server.** It is a way to arrange the traffic *of* data parallelism: workers send gradients, servers update and send weights back (Li et al., OSDI 2014). Cut into $N$ parts, it sends $2 \frac{N-1}{N} n$ bytes from each machine, as a ring all-reduce does; one server alone sends $N n$. It can also be asynchronous: then gradients are
# stale, and with a staleness of 1, 2 or 3 a quadratic loss allows a rate of 1, 0.618 or 0.445 instead of 2, divided by the curvature.
#
# **3, independent updates.** Gradients are averaged *before* the update, so all ranks make the same update; it is one step on a batch $N$ times as large. Drift comes from asynchronous updates or local steps: local SGD with a rate of 0.1 rests at 2.43 with one local step, at 1.67 with eight and at 1.00 with a thousand (4.4).
#
# **4, overhead.** Each device holds everything: 16 bytes a parameter with AdamW in mixed precision, 112 GB for 7 billion parameters, on 8 devices as on 800 (Rajbhandari et al., arXiv:1910.02054). That is what ZeRO removes. And each step sends almost twice the gradients' bytes from each device.
#
# **5, communication.** Tensor parallelism adds all-reduces of activations, four in each block and step (Shoeybi et al., arXiv:1909.08053), and the next product waits for them. Data parallelism all-reduces about $12 d^2$ gradients a block, these are $4 T d$ numbers: more from $T = 3d$ tokens on. A pipeline sends activations across each cut, 33 GB each way with
# width 4,096 and 4 million tokens in 16 bits (4.6); whether that is less than the gradients depends on the batch. Memory is the reason for model parallelism.
#
# **6, separate parts.** There is one loss and one backward pass. A part needs the activations of the part before and the gradients of the part behind it, so a pipeline is idle for $(p - 1)/(m + p - 1)$ of the time: 27 % with four stages and eight micro-batches (4.6). With tensor parallelism all parts compute at the same time, but none can finish a layer
# without the sum over all: without the operator $f$, earlier layers get wrong gradients (4.5).
# ### END SOLUTION
