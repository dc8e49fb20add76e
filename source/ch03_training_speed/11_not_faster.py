# %% [markdown] nbgrader={"grade": false, "grade_id": "not_faster", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W3.1 Smaller, and not faster
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **8 points** · in writing, marked by a person
#
# A team serves a language model. In one of its layers, a matrix of 4096 × 4096 weights in 16 bits is multiplied by the activations of a batch of $B$ tokens. The accelerator has a peak of
# $3 \cdot 10^{14}$ operations per second in 16 bits and a memory bandwidth of $2 \cdot 10^{12}$ bytes per second.
#
# The team reports: "(a) We pruned 90 % of the weights by magnitude. The file is as large as before, and so is the latency. (b) Then we stored the weights in 8 bits, and convert them to 16 bits before each product. At $B = 1$ it takes 2.5 times as long, at $B = 512$ 1.4 times."
#
# 1. Use the roofline of section 3.1: how long does the product take at $B = 1$ and at $B = 512$, and what limits it? (You may leave out the activations' bytes.)
# 2. Explain (a), and say what would have to change so that pruning saves time.
# 3. Explain both halves of (b), with numbers.
# 4. Which measurement would you make before the next attempt, and what would its result decide?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the correct cause, 1 for numbers or a measurement that could also come out otherwise.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "not_faster_answer", "locked": false, "points": 8, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** The weights are $4096^2 \cdot 2 = 33.6$ MB: 16.8 µs at the bandwidth. The product has $2 \cdot 4096^2 B$ operations: 0.11 µs at $B = 1$, 57 µs at $B = 512$. So memory limits the first and computing the second; the ridge is at $B = 150$.
#
# **2.** A mask sets weights to zero and leaves the matrix as large as it was: the same bytes are read, the same products computed. Time falls if structure goes (whole rows or columns, so that the matrix gets smaller), or with a format and a kernel for sparse matrices that this accelerator runs faster; with
# zeros at random places that is rare.
#
# **3.** At $B = 1$, bytes count. Converting reads 16.8 MB, writes 33.6 MB and reads them again for the product: 84 MB instead of 33.6, or 42 µs instead of 16.8. A kernel that converts on the way would need 16.8 MB, 8.4 µs. At $B = 512$ computing takes 57 µs, in 16 bits as before; the conversion
# adds the same 25 µs. To gain there, the product itself would have to run in 8 bits, with activations in 8 bits, too.
#
# **4.** A profile of one step, with synchronised times: is this layer where the time goes at all, and does it run near the bandwidth or near the peak? Near the bandwidth: fewer bytes. Near the peak: fewer or cheaper operations. Near neither: the launch of many small kernels, or waiting for data, is what costs.
# ### END SOLUTION
