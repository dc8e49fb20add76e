# %% [markdown] nbgrader={"grade": false, "grade_id": "how_long", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W3.2 How long will it take?
#
# > **Difficulty** ★★☆☆ · **45 minutes** · **10 points** · in writing, marked by a person
#
# You are to train a transformer with $10^9$ parameters (20 layers of width 2,048, context 2,048) on $2 \cdot 10^{10}$ tokens, on eight accelerators with a peak of $9.9 \cdot 10^{14}$ operations per second in bfloat16 and 80 GB of memory each.
#
# 1. How many hours? Choose an MFU and defend it with published figures.
# 2. $6ND$ leaves something out, apart from recomputation. What is the largest such item here, and how many per cent does it add? (Do kernels skip masked scores?)
# 3. Do weights, gradients and the state of AdamW fit into one accelerator in mixed precision? What else needs memory, and which two tools of this chapter would you reach for?
# 4. After the first hour the run is at half of the speed that you promised. Name three causes, and for each the measurement that would tell it from the other two.
# 5. Your manager asks for half of the time. Name two ways, and what each costs.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the method, 1 for numbers, sources or measurements that fit.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "how_long_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** $6ND = 1.2 \cdot 10^{20}$ operations. At an MFU of 40 %, eight accelerators do $8 \cdot 9.9 \cdot 10^{14} \cdot 0.4 = 3.2 \cdot 10^{15}$ a second: 37,900 s, ten and a half hours. The PaLM paper (arXiv:2204.02311, table 3) has 21 % for GPT-3 and 46 % for PaLM; Llama 3 reports 38 to 43 %
# on 8,000 to 16,000 GPUs (arXiv:2407.21783, section 3.3.2). Eight in one machine have less to communicate, and a small model has smaller matrices: 30 to 45 % is a fair range, 9 to 14 hours.
#
# **2.** The products of attention, $QK^\top$ and $AV$: $12 L T d = 12 \cdot 20 \cdot 2048 \cdot 2048 = 1.0 \cdot 10^9$ a token beside $6N = 6 \cdot 10^9$, or 17 %; half of that with a kernel that skips what the causal mask hides.
#
# **3.** 16 bytes a parameter (two for the weight, two for the gradient, four each for the master weight and the two moments): 16 GB. That fits. Activations grow with the batch and the length and can take more than that: checkpointing (3.3), and accumulation over smaller micro-batches (3.2).
#
# **4.** *Waiting for data*: the accelerator idles between steps; replace the loader by one batch in memory and measure again. *Communication*: the time lies in collectives; run on one accelerator with the same batch for each. *Small or unfused kernels, or float32 where bfloat16 was meant*: a profile of one step
# shows many short kernels, or the types of the products.
#
# **5.** Twice as many accelerators: twice the money an hour, and a larger batch if each is to keep its share, which helps only up to the critical batch size (arXiv:1812.06162). Or half of the tokens, or a smaller model with more tokens per parameter: the loss is higher, by an amount that the scaling laws of chapter 1 estimate. (Eight bits for the products save time
# where the hardware has them, and have to be proved not to harm.)
# ### END SOLUTION
