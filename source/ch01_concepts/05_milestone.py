# %% [markdown]
# ## 1.5 A model of your own
#
# A tokenizer, attention, training, a sampler: put together, they make the model that opened this chapter. Two minutes of training, and it writes
# what nobody has written before.
#
# In the code, `own.encode` is your `encode`, or a packaged one if yours does not run yet.

# %% tags=["demo"]
from types import SimpleNamespace

from autograder import gpt as packaged


def assemble():
    """The learner's parts under the exercises' names, and a packaged one for each that does not run yet."""

    class Attention(packaged.MultiHeadAttention):
        def forward(self, query, key, value, mask):
            return super().forward(query), None

    def packaged_training(model, optimizer, training, validation, generator, steps, every, n_windows, length):
        return packaged.train(model, optimizer, training, validation, steps, every, n_windows, length)

    def packaged_sampling(model, ids, n_new, context, temperature, generator):
        return torch.tensor([packaged.draw(model, row, n_new, temperature, generator) for row in ids.tolist()])

    x, tokens, small = torch.zeros(1, 3, 8), torch.arange(20), packaged.GPT(300, context=4, width=8, layers=1, heads=2)
    trials = {  # section: what has to be true, and what stands in
        "1.1": (lambda: decode(encode("abab", train_bpe("abab", 257)), train_bpe("abab", 257)) == "abab", {
            "train_bpe": lambda text, vocab_size: lesson.gpt(own=False).tokenizer.merges,
            "encode": lambda text, merges: packaged.BytePairs(merges).encode(text),
            "decode": lambda ids, merges: packaged.BytePairs(merges).decode(ids),
        }),
        "1.2": (lambda: MultiHeadAttention(8, 2)(x, x, x, torch.ones(3, 3, dtype=torch.bool))[0].shape == x.shape, {"MultiHeadAttention": Attention}),
        "1.3": (lambda: len(train_lm(small, packaged.make_optimizer(small, 1), tokens, tokens, torch.Generator(), 1, 1, 2, 4)) == 2, {
            "train_lm": packaged_training,
        }),
        "1.4": (lambda: generate(small, tokens[None, :2], 3, 4, temperature=1.0, generator=torch.Generator()).shape == (1, 5), {
            "generate": packaged_sampling,
        }),
    }
    own, missing = SimpleNamespace(), []
    for section, (works, stand_ins) in trials.items():
        try:
            yours = works()
        except Exception:
            yours = False
        if not yours:
            missing.append(section)
        for name, stand_in in stand_ins.items():
            setattr(own, name, globals()[name] if yours else stand_in)
    print(f"Packaged parts stand in for {', '.join(missing)}." if missing else "All four parts are yours.")
    return own


own = assemble()

# %% [markdown]
# ### What it reads
#
# Your model reads Python's language reference (`pydoc_data.topics`), 465,000 characters.
#
# There is a trap in it: one paragraph in five is a repetition, and might stand in training and validation. So `lesson.corpus()` keeps each paragraph once, and gives every tenth block of twenty paragraphs to validation. Section 2.10 shows what happens otherwise.
#
# ### The model
#
# It is the `TinyGPT` of 1.3 with your attention, larger, and its embeddings start with smaller numbers. Two changes matter more. The output layer has no matrix of its own: a token's logit is the inner
# product with its embedding (**tied embeddings**: Press and Wolf, arXiv:1608.05859). And as six branches (two in each block) are added to the same
# vector, the last matrix of each starts smaller, divided by $\sqrt 6$ (GPT-2's paper, section 2.3).

# %% tags=["demo", "shown"]
class OwnBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = own.MultiHeadAttention(width, heads)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, mask):
        normed = self.before_attention(x)
        x = x + self.attention(normed, normed, normed, mask)[0]
        return x + self.network(self.before_network(x))


class OwnGPT(nn.Module):
    def __init__(self, vocabulary, context=64, width=64, layers=3, heads=4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(OwnBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        with torch.no_grad():
            for block in self.blocks:
                block.attention.out_proj.weight /= math.sqrt(2 * layers)
                block.network[2].weight /= math.sqrt(2 * layers)

    def forward(self, x):
        length = x.shape[1]
        hidden = self.tokens(x) + self.positions.weight[:length]
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.norm(hidden) @ self.tokens.weight.T

# %% [markdown]
# ### Two minutes of training
#
# Nats per token depend on how long the tokens are. So we count **bits per byte**: the loss on the validation
# text in bits, divided by its length in bytes. Before training, all 512 tokens are about equally likely: 9 bits a token of
# 2.2 bytes on average, or 4 bits per byte. **Predict:** how many after training, and after how many steps is half of that way done?

# %% tags=["demo", "shown"]
training_text, validation_text = lesson.corpus()
own_merges = own.train_bpe(training_text, 512)
own_training = torch.tensor(own.encode(training_text, own_merges))
own_validation = torch.tensor(own.encode(validation_text, own_merges))

torch.manual_seed(0)
own_gpt = OwnGPT(256 + len(own_merges))
own_nats = own.train_lm(
    own_gpt, packaged.make_optimizer(own_gpt, steps=2400), own_training, own_validation,
    torch.Generator().manual_seed(0), steps=2400, every=200, n_windows=16, length=64,
)
bits_per_token = np.array(own_nats) / math.log(2)
own_bits = bits_per_token * (len(own_validation) - 1) / len(validation_text.encode())

# %% tags=["demo", "nbval-ignore-output"]
def show_own_training():
    import bz2

    text, before = validation_text.encode(), training_text.encode()
    packed = {
        "bz2, on the validation text": len(bz2.compress(text)),
        "bz2, with the training text before it": len(bz2.compress(before + text)) - len(bz2.compress(before)),
    }
    _, ax = plt.subplots(figsize=(6.5, 3.4))
    ax.plot(np.arange(0, 2401, 200), own_bits, "o-", ms=4)
    ax.annotate(f"{own_bits[-1]:.2f}", (2400, own_bits[-1]), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=9)
    for label, size in packed.items():
        ax.axhline(8 * size / len(text), color="0.5", ls=":", lw=1.2)
        ax.text(2400, 8 * size / len(text) - 0.04, f"{label}: {8 * size / len(text):.2f}", fontsize=8.5, ha="right", va="top", color="0.35")
    count = sum(parameter.numel() for parameter in own_gpt.parameters())
    ax.set(xlabel="step", ylabel="validation loss (bits per byte)", ylim=(1.2, 4.2), title=f"Your model: {count:,} parameters, 2,400 steps")
    plt.show()


show_own_training()

# %% [markdown]
# Half of the way is done within some 200 steps: which letters and words are common is learnt quickly.
#
# Is the end any good? With arithmetic coding, a text takes as many bits as the model's loss says (Delétang et al., arXiv:2309.10668). `bz2` needs about 2.3 bits per byte; your model, which has read similar
# pages, needs far less. But give `bz2` those pages too, and it needs about 1.6: it looks up phrases in 330,000 characters, where the model has 187,000 numbers.
#
# ### It writes
#
# It has read nothing but a manual; ask it about life. What will it get right: spelling, grammar, sense?

# %% tags=["demo", "nbval-ignore-output"]
def let_it_write(*prompts, n_new=50, temperature=0.5, seed=0):
    chance = torch.Generator().manual_seed(seed)
    for prompt in prompts:
        ids = torch.tensor([own.encode(prompt, own_merges)])
        ids = own.generate(own_gpt, ids, n_new, 64, temperature=temperature, generator=chance)
        print(own.decode(ids[0].tolist(), own_merges), "\n" + "-" * 80)


let_it_write("Love is", "To be or not to be", "If you are unhappy,")

# %% [markdown]
# Spelling and layout need only a few letters of context, and most words are English. Grammar holds for half a line. Sense is nowhere:
# the model sees 64 tokens, some 140 characters. GPT-3 has a million times as many numbers and read a hundred thousand times as many tokens
# (arXiv:2005.14165), but its parts are those that you have written.
#
# ### Keep it
#
# ```python
# lesson.save_gpt(own_gpt, own_merges)
# ```
#
# puts the model into your folder `work`, and `lesson.gpt()` gives it to the later chapters. Without it they use a packaged copy.
#
# **Change one thing.** `let_it_write("Love is", temperature=0.1)`, then `temperature=1.5`. What will you see? Predict first.
#
# <details><summary>Answer</summary>
#
# At 0.1 it nearly always takes the likeliest token, and comes back to the same phrases, such as "the same as" and `"__getitem__()"`. At 1.5, many
# words do not exist, and the layout falls apart.
# </details>
