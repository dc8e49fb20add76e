# %% [markdown]
# ## What you can do now
#
# - State what a transformer of any shape costs in parameters, bytes, FLOPs and hours, and say which terms $6ND$ leaves out.
# - Assemble an encoder-decoder from its parts, shift its targets, mask its padding, and tell a model that translates from one that copies.
# - Write attention that handles masks, queries that may look at nothing, large scores and heads, and say what goes wrong without each precaution.
# - Judge a language model against the entropy of its source, and recognise a leak by a loss that is too good.
# - Compare recurrence, convolution and attention by operations, path length and receptive field.
# - Repair a text classifier, an image classifier and a GAN, and read a training script for what is missing: scaling, splits, masks,
#   logits, modes, an honest measurement.
# - Place a task on the map, choose a model for it, and check a business plan with a calculator.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_concepts", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook.
#
# 1. What makes a model "large", and why is the number of parameters not enough of an answer?
# 2. Where does the six in $6ND$ come from, and when is it wrong?
# 3. Why divide by $\sqrt{d_k}$ in attention, and what would dividing by $d_k$ do?
# 4. What exactly does a mask do, and what is wrong with multiplying the weights by it after the softmax?
# 5. Your language model has a validation loss of 0.1 nats per token on text whose entropy is about 2. What now?
# 6. BERT, GPT, T5: which would you take for sentiment, for chat, for translation, and why?
# 7. When is a recurrent network or a convolution the better choice than attention?
# 8. Training accuracy stays at 17 %, the loss says `from_logits=False`, and the model ends in `Dense(10)`. You mend it and read 99 %. What do you check?
# 9. The discriminator's loss of a GAN goes to zero. Is that good?
# 10. A model of 8 billion parameters is to serve 200 users with 32,768 tokens of context each. What limits you, and what are the options?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. There is no threshold. What is meant is broad self-supervised pretraining and adaptation to many tasks. Parameters say nothing about the data: a model of 70 billion parameters with 1.4 trillion tokens beat one of 280 billion with 300 billion tokens
#    (arXiv:2203.15556).
# 2. Two FLOPs per matrix weight and token in the forward pass, twice that in the backward pass. It leaves out attention's products, which dominate beyond $T \approx 6d$ per block, and counts embeddings, which multiply nothing.
# 3. Scores of independent unit-variance entries have standard deviation $\sqrt{d_k}$; unscaled, the softmax saturates and its gradient vanishes. Dividing by $d_k$ drives scores to zero: uniform weights.
# 4. It takes scores out before the softmax, so that the rest sums to one. Afterwards rows sum to less than one, and the forbidden scores still shrink the others.
# 5. A loss below the entropy is a leak: missing causal mask, unshifted target, or validation text seen in training. Test by changing future tokens and watching earlier logits.
# 6. An encoder for sentiment (sees both sides, one vector); a decoder for chat (writes left to right); an encoder-decoder for translation (reads all of the source, then writes). A large decoder does all three at a higher cost.
# 7. Streaming with constant memory and one step at a time: recurrence. Local structure, little data, small devices: convolution. Attention costs $O(T^2)$ and its cache grows with $T$.
# 8. `Dense(10)` ends in logits, the loss expects probabilities: clipped and normalised nonsense, so set `from_logits=True`. And 99 % on training data says nothing: ask for validation data, split by source.
# 9. No. It tells real from generated without error; with the minimax loss the generator's gradient vanishes, with the non-saturating one it is large but may chase. At the equilibrium the discriminator is undecided: $\ln 2$ per sample.
# 10. The cache: for Llama 3 8B, 131,072 bytes per token, so 4.3 GB per user and 860 GB in all, against 16 GB of weights. Fewer key-value heads, caches in 8 bits, shorter or shared contexts, paging, more cards.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# What is said, what is true, and where it was shown: the table stands in the solved notebook, because it answers W1.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Large models compute more efficiently." | They cost more per token, about $6N$ FLOPs in training; they need fewer tokens to reach a loss (arXiv:2001.08361). | 1.1, W1.1 |
# | "More parameters generalise better." | Parameters and data have to grow together. | 1.0, W1.1 |
# | "Large models overfit more easily." | Not in general: double descent. It can be true of small data that is seen many times. | W1.1, chapter 2 |
# | "The size can easily be adjusted." | Another size is another training run, or distillation, or pruning and more training. | W1.1 |
# | "Training takes hours to days." | For small models. Llama 3.1 405B took 30.84 million GPU-hours (model card): at least 78 days on its up to 16,384 GPUs. | 1.9, W1.1 |
# | "Large means more than a billion." | There is no threshold. | 1.0, W1.1 |
# | "Inception, YOLO, GANs are large models." | Vision networks of moderate size, and a way of training. | 1.0, 1.8, 1.9 |
# | "A transformer is seq2seq self-attention." | It also has cross-attention, positions, feed-forward layers, residuals and norms; BERT is an encoder, GPT a decoder. | 1.2 |
# | "Transformers suit very long texts." | Attention's operations grow with the square of the length, the cache with the length. | 1.5, W1.1 |
# | "Convolutions can hardly process sequences." | Causal dilated stacks compete with recurrent networks, and see as far as you build them. | 1.5 |
# | "GPT is bad at word order." | It models order by construction: each token given those before it. | 1.4, W1.1 |
# | "More heads, more parameters." | Heads cut the same matrices into strips. Only the ratio of key-value heads to heads changes the count. | 1.1 |
# | "Quantising reduces the number of parameters." | It reduces the bits of each. | 1.1, W1.3 |
# | "A mask sets weights to zero." | It takes scores out before the softmax. | 1.3 |
# | "It runs without an error, so it is right." | A loss that takes logits for probabilities runs, and so does a split with leaks. | 1.2, 1.6, 1.7 |
# | "The Transformer library." | The library is called *Transformers*, by Hugging Face; a transformer is an architecture. | 1.6 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Vaswani et al., *Attention Is All You Need*, arXiv:1706.03762.
# - Kaplan et al., *Scaling Laws for Neural Language Models*, arXiv:2001.08361.
# - Hoffmann et al., *Training Compute-Optimal Large Language Models*, arXiv:2203.15556.
# - Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*, arXiv:1910.02054.
# - Ainslie et al., *GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints*, arXiv:2305.13245.
# - Zhang et al., *Understanding deep learning requires rethinking generalization*, arXiv:1611.03530; Belkin et al., *Reconciling modern
#   machine-learning practice and the classical bias-variance trade-off*, arXiv:1812.11118: on parameters and overfitting.
# - Bai et al., *An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling*, arXiv:1803.01271.
# - Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, arXiv:1810.04805, and Llama Team, *The Llama 3
#   Herd of Models*, arXiv:2407.21783: what training took.
# - Goodfellow et al., *Generative Adversarial Networks*, arXiv:1406.2661; Radford et al., *Unsupervised Representation Learning with Deep Convolutional
#   Generative Adversarial Networks*, arXiv:1511.06434.
# - Dao et al., *FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness*, arXiv:2205.14135.
