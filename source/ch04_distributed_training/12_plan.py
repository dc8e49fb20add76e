# %% [markdown] nbgrader={"grade": false, "grade_id": "plan", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W4.1 Where to put it?
#
# > **Difficulty** ★★★☆ · **70 minutes** · **10 points** · in writing, marked by a person
#
# You are to train two transformers with AdamW in mixed precision: A with $7 \cdot 10^9$ parameters (32 layers of width 4,096), B with $7 \cdot 10^{10}$ (80 layers of width 8,192). A step has $2^{22}$ tokens: 1,024 sequences of 4,096.
#
# A GPU has 80 GB, and does $4 \cdot 10^{14}$ useful operations a second (the $6ND$ of section 1.11; what checkpointing computes again is not counted). Eight are in a server, where each can send 450 GB a second to the others; to GPUs of other servers, each can send 50 GB a second; in a ring over several servers, that slower link decides. With checkpointing (3.3), a layer keeps its input only: 2 bytes a number. Leave out embeddings, logits and the inside of a layer.
#
# 1. How many GB does a GPU hold for A and for B, without activations, on 8 and on 64 GPUs, with plain data parallelism and with each of ZeRO's stages? Which of these fit?
# 2. A on 64 GPUs: how long does a step compute? How many GB does each GPU send with stage 1, and how many with stage 3, if its 16 sequences are processed at once, or in 8 micro-batches (with one reduce-scatter at the end)? What do you choose, and what would you choose on 8 GPUs?
# 3. B on 64 GPUs: cut each layer into eight parts within a server, and use data parallelism between servers. Which ZeRO stage? Show that it fits, and how long each kind of communication takes. Why not tensor parallelism over all 64?
# 4. Now use the eight servers as a pipeline instead; each layer is still cut into eight within a server. Choose the number of micro-batches. What is the bubble, and what does the first stage hold? When would you prefer it, and when not?
# 5. Somebody has 8 GPUs and wants to train B. What do you say?
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points for each part: 1 for the method and the decision, 1 for numbers that support it. A different plan that fits, with its numbers, is as good: for example B with stage 3 alone, in 4 micro-batches of 4 sequences, holds 17.5 + 21.5 GB and sends 1,650 GB in 33 s (with a reduce-scatter after each micro-batch, since whole gradients, 140 GB, do not fit). Powers of 1,024 instead of 1,000, or leaving out a factor $(N - 1)/N$, cost nothing.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "plan_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** In bytes for each parameter (4.7): 16, then $4 + 12/N$, $2 + 14/N$ and $16/N$.
#
# | GB on each GPU | data parallel | stage 1 | stage 2 | stage 3 |
# |---|---|---|---|---|
# | A, 8 GPUs | 112 | 38.5 | 26.3 | 14 |
# | A, 64 GPUs | 112 | 29.3 | 15.5 | 1.75 |
# | B, 8 GPUs | 1,120 | 385 | 263 | 140 |
# | B, 64 GPUs | 1,120 | 293 | 155 | 17.5 |
#
# So A fits with any stage, B with stage 3 on 64 GPUs only. Activations come on top: a sequence keeps $2 \cdot 4096 \cdot 4096 \cdot 32 = 1.07$ GB in A and $2 \cdot 4096 \cdot 8192 \cdot 80 = 5.37$ GB in B, and more while a layer is computed again.
#
# **2.** $6 \cdot 7 \cdot 10^9 \cdot 2^{22} / (64 \cdot 4 \cdot 10^{14}) = 6.9$ s. The weights are 14 GB in 16 bits. Stage 1 sends $2 \cdot \frac{63}{64} \cdot 14 = 27.6$ GB once a step: 0.55 s, 8 % of the step even if nothing of it is hidden behind the backward pass. Stage 3 sends
# $3 \cdot \frac{63}{64} \cdot 14 = 41.3$ GB or 0.83 s if all 16 sequences are processed at once; these keep 17 GB, which fits. In 8 micro-batches it gathers 16 times: 220 GB, and 14 GB more for one reduce-scatter at the end: 4.7 s, two thirds of the step. (Until then it keeps the whole gradient, 14 GB. With a reduce-scatter after each micro-batch: 331 GB, 6.6 s.) So stage 1:
# its memory is enough, and its traffic does not grow with the micro-batches. (That of stage 2 does: it reduce-scatters after each.) On 8 GPUs the same, in 38.5 GB: $2 \cdot \frac78 \cdot 14 = 24.5$ GB at 450 GB a second are 0.05 s of 55 s.
#
# **3.** A GPU has an eighth of each layer, $8.75 \cdot 10^9$ parameters. Stage 1 over eight servers: $(4 + 12/8) \cdot 8.75 = 48.1$ GB, and 5.4 GB for one sequence at a time: it fits. A step computes 69 s. Between servers: $2 \cdot \frac78 \cdot 17.5 = 30.6$ GB, 0.6 s. Within: an all-reduce of
# one sequence's activations, $2 \cdot 4096 \cdot 8192 = 67$ MB, sends $2 \cdot \frac78 \cdot 67 = 117$ MB; four in each of 80 layers are 37.6 GB, times 128 sequences for each server 4,810 GB: 10.7 s, or up to 16 s if checkpointing repeats those of the forward pass. That is 16 to 23 % of the step, and
# hard to hide, as the next product waits for it. Over all 64 GPUs, each would take part in all 1,024 sequences: $2 \cdot \frac{63}{64} \cdot 67$ MB $\cdot\, 4 \cdot 80 \cdot 1024 = 43$ TB at 50 GB a second, 866 s for 69 s of computing. Tensor parallelism stays within the server. Llama 3 was trained like that: tensor
# parallelism over 8 GPUs innermost, then context parallelism (4.9), then the pipeline, data parallelism outermost (arXiv:2407.21783, section 3.3.2).
#
# **4.** Eight stages of ten layers, micro-batches of one sequence: $m = 1024$, so the bubble is $7/1031 = 0.7$ %. A GPU holds $16 \cdot 70 / 64 = 17.5$ GB, and with 1F1B the first stage keeps at most 8 sequences for 10 layers, 5.4 GB. Across a cut, each sequence sends 67 MB forward and as much
# backward: 69 GB each way in a step, 1.4 s even if one GPU sends all of it. The all-reduces within a server are as before. I prefer it where 48 GB do not fit (longer sequences, a larger model) or the links between servers are slow. I do not where the batch is small (with $m = 32$, 18 % are idle) or stages are unequal.
#
# **5.** 1,120 GB do not fit into 640 GB, in any arrangement. And if they did: 20 tokens for each parameter are $5.9 \cdot 10^{23}$ operations, 5.8 years on 8 GPUs (266 days on 64). What can be done is fine-tuning. With the 12 bytes of the optimizer in the computers' own memory (840 GB), 35 GB stay on each GPU. Or train small additional matrices only
# (LoRA, arXiv:2106.09685): frozen weights in 16 bits are 17.5 GB on each GPU.
# ### END SOLUTION
