# %% [markdown]
# ## What you can do now
#
# - Make a language model from parts that you wrote, and say in bits per byte how good it is.
# - Find what is wrong in a training script that runs.
# - Compute parameters, bytes, FLOPs and hours before anyone trains.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_concepts", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook: in the folder `solved`, or in `notebooks` of the course's repository.
#
# 1. What makes a model "large", and why is the number of parameters not enough of an answer?
# 2. Where does the six in $6ND$ come from, and when is it wrong?
# 3. Why divide by $\sqrt{d_k}$ in attention? What would dividing by $d_k$ do?
# 4. A language model has a validation loss of 0.1 nats per token on text whose entropy is about 2. What now?
# 5. BERT, GPT, T5: which would you take for sentiment, for chat, for translation, and why?
# 6. When is a recurrent network or a convolution the better choice than attention?
# 7. The discriminator's loss of a GAN goes to zero. Is that good?
# 8. A model of 8 billion parameters is to serve 200 users with 32,768 tokens of context each. What limits you? What are the options?
# 9. Two models have different tokenizers. One has a validation loss of 2.1 nats per token, the other 2.6. Which is better?
# 10. A model repeats the same sentence again and again. Why, and what do you change?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. There is no threshold. What is meant is broad self-supervised pretraining and adaptation to many tasks. Parameters say nothing about the data: a model of 70 billion parameters with 1.4 trillion tokens beat one of 280 billion with 300 billion tokens
#    (arXiv:2203.15556).
# 2. Two FLOPs per matrix weight and token in the forward pass, twice that in the backward pass. It leaves out attention's products, which dominate beyond $T \approx 6d$ per block, and counts embeddings, which multiply nothing.
# 3. Scores of independent unit-variance entries have standard deviation $\sqrt{d_k}$; unscaled, the softmax saturates and its gradient vanishes. Dividing by $d_k$ drives scores to zero: uniform weights.
# 4. A loss below the entropy is a leak: missing causal mask, unshifted target, or validation text seen in training. Test by changing future tokens and watching earlier logits.
# 5. An encoder for sentiment (sees both sides, one vector); a decoder for chat (writes left to right); an encoder-decoder for translation (reads all of the source, then writes). A large decoder does all three at a higher cost.
# 6. Streaming with constant memory and one step at a time: recurrence. Local structure, little data, small devices: convolution. Attention costs $O(T^2)$ and its cache grows with $T$.
# 7. No. It tells real from generated without error; with the minimax loss the generator's gradient vanishes, with the non-saturating one it is large but may chase. At the equilibrium the discriminator is undecided: $\ln 2$ per sample.
# 8. The cache: for Llama 3 8B, 131,072 bytes per token, so 4.3 GB per user and 860 GB in all, against 16 GB of weights. Fewer key-value heads, caches in 8 bits, shorter or shared contexts, paging, more cards.
# 9. Nobody can say yet: a tokenizer with longer tokens has fewer and harder predictions. Compare bits per byte: nats per token × tokens ÷ ($\ln 2$ × bytes), on the same text.
# 10. It takes the most probable token, or nearly: greedy decoding or a low temperature. What was written makes the same continuation more probable still. Draw, with a higher temperature
#     and top-p; look also at whether the training text repeats itself.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W1.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "A larger model needs less compute." | They cost more per token, about $6N$ FLOPs in training; they need fewer tokens to reach a loss (arXiv:2001.08361). | 1.11, W1.1 |
# | "More parameters generalise better." | Parameters and data have to grow together. | 1.0, W1.1 |
# | "Large models overfit more easily." | Not in general: double descent. It can be true of small data that is seen many times. | W1.1, chapter 2 |
# | "A trained model can be cut to a fifth without further training." | Another size is another training run, or distillation, or pruning and more training. | 1.12, W1.1 |
# | "Training takes hours to days." | For small models. Llama 3.1 405B took 30.84 million GPU-hours (model card): at least 78 days on its up to 16,384 GPUs. | 1.12, W1.1 |
# | "Large means more than a billion." | There is no threshold. | 1.0, W1.1 |
# | "Inception, YOLO, GANs are large models." | Vision networks of moderate size, and a way of training. | 1.9, 1.12 |
# | "A transformer is seq2seq self-attention." | It also has cross-attention, positions, feed-forward layers, residuals and norms; BERT is an encoder, GPT a decoder. | 1.6 |
# | "Transformers suit very long texts." | Attention's operations grow with the square of the length, the cache with the length. | 1.10, W1.1 |
# | "Convolutions can hardly process sequences." | Causal dilated stacks compete with recurrent networks, and see as far as you build them. | 1.10 |
# | "GPT is bad at word order." | It models order by construction: each token given those before it. | 1.3, W1.1 |
# | "More heads, more parameters." | Heads cut the same matrices into strips. Only the ratio of key-value heads to heads changes the count. | 1.11 |
# | "Quantising reduces the number of parameters." | It reduces the bits of each. | 1.11, W1.3 |
# | "A mask sets weights to zero." | It takes scores out before the softmax. | 1.2 |
# | "A token is a word." | It is a frequent run of bytes: a word, a part of one, or a third of a character. | 1.1 |
# | "The best text is the most probable one." | Greedy text goes in circles; people do not write what is most probable. | 1.4 |
# | "It runs without an error, so it is right." | A loss that takes logits for probabilities runs, and so does a split with leaks. | 1.7, 1.8, 1.9 |
# | "The Transformer library." | The library is called *Transformers*, by Hugging Face; a transformer is an architecture. | 1.7 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# Besides the papers named in the sections:
#
# - Overfitting: Zhang et al., *Understanding deep learning requires rethinking generalization*, arXiv:1611.03530; Belkin et al., *Reconciling modern
#   machine-learning practice and the classical bias-variance trade-off*, arXiv:1812.11118.
# - Long texts: Dao et al., *FlashAttention*, arXiv:2205.14135.
