# %% [markdown] nbgrader={"grade": false, "grade_id": "claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.1 Six claims about large models
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **12 points** · in writing, marked by a person
#
# Such sentences stand in guides for job interviews. None is correct as it stands. Choose **six**. For
# each, write two or three sentences: what is wrong and what is true instead (one point), and **a number or a source**
# that shows it (one point). Some numbers come from your calculator and the figures (for claim 11, *Two models, one floor* in 1.3); the further reading names papers.
#
# 1. "A larger model needs less compute."
# 2. "A model generalises better because it has more parameters."
# 3. "Large models overfit more easily than small ones."
# 4. "A trained model can be cut to a fifth of its parameters without further training."
# 5. "Training a large model takes hours to days."
# 6. "A large model is one with more than a billion parameters."
# 7. "Inception, YOLO and GANs are examples of large models."
# 8. "A transformer is a sequence-to-sequence model made of self-attention."
# 9. "Transformers are well suited to very long texts."
# 10. "Convolutional networks can hardly process sequences."
# 11. "GPT is bad at tasks that depend on word order."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim, six claims, 12 points in all. For each claim: 1 point for a correct statement of what is wrong and what
# holds instead, 1 point for evidence: a number that supports it, with its unit, or a source that says it.
# No evidence point for a number that is off by more than a factor of three. A seventh claim is not marked.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, compute.** A larger dense model costs *more* per token: training takes about $6N$ FLOPs a token, so ten times the
# parameters cost ten times the compute. What improves is *sample* efficiency: larger language models reach a given loss
# after fewer tokens (Kaplan et al., arXiv:2001.08361).
#
# **2, generalisation from parameters.** Parameters alone do not generalise. At a fixed budget, $N$ and $D$ should grow together: Chinchilla
# (70B, 1.4T tokens) beats the four times larger Gopher (280B, 300B tokens) at about the same training compute (Hoffmann et al.,
# arXiv:2203.15556). And networks with enough parameters fit random labels perfectly (Zhang et al., arXiv:1611.03530).
#
# **3, overfitting.** Not in general. Test error can fall again beyond the point where training data is fitted exactly
# (double descent: Belkin et al., arXiv:1812.11118). The claim holds for fine-tuning on small data and for many passes over the same data.
#
# **4, cutting a model.** Another size means another training run, or distilling or pruning the model and training it further. Llama 2 7B, cut to
# 1.3 billion parameters, was trained on 50 billion more tokens (Xia et al., arXiv:2310.06694).
#
# **5, hours to days.** BERT-base took 4 days on 4 Cloud TPUs (arXiv:1810.04805). Llama 3.1 405B took 30.84 million H100-hours (model
# card); on its up to 16,384 GPUs that is at least 78 days.
#
# **6, a billion.** There is no threshold. BERT-large had 340 million parameters and was large in 2018. The word stands for broad
# pretraining and adaptation to many tasks.
#
# **7, examples.** Inception-v3 has about 24 million parameters; YOLO is a detector of the same order; neither is pretrained for many tasks. A GAN is a way of
# training two networks against each other and can have any size.
#
# **8, definition.** The original transformer is an encoder-decoder with self-attention, cross-attention, positions, feed-forward networks,
# residual connections and norms (arXiv:1706.03762). BERT is an encoder alone, GPT a decoder alone; neither is sequence-to-sequence. In Llama 3 8B,
# 70 % of the parameters are in feed-forward networks.
#
# **9, long texts.** Attention compares all pairs: twice the length costs four times the operations in $QK^\top$ and $AV$. The KV cache of Llama 3 8B
# takes 1 GiB per 8,192 tokens, so 16 GiB at 131,072. Context is bounded by what the model was trained on.
#
# **10, convolutions.** Causal dilated convolutions beat recurrent networks on many sequence benchmarks (Bai et al., arXiv:1803.01271). With
# kernel 2 and dilations 1, 2, 4, …, ten layers see 1,024 steps.
#
# **11, word order.** GPT is a causal decoder with positions: it models order by construction, each token given those before it. In 1.3 a small one reaches 1.10 nats
# per letter; who knows the last two letters, but not their order, cannot do better than 1.31. Its limits are elsewhere: no context from the right, and errors that add up over long exact computations.
# ### END SOLUTION

