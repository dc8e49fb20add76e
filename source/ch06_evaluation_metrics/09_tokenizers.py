# %% [markdown]
# ## 6.9 One text under five tokenizers
#
# Two models were measured on the same text. One has a perplexity of 10.7, the other of 14.3. **Predict:** which predicts the text better?
#
# The first knows only which *byte* follows which. The second is the small GPT of chapter 1, which reads 64 tokens. A byte is easier to guess than a token that stands for two or three of them.
#
# Tokenizers with 256 tokens (the bytes) to 2,048 are learnt from the training text, as in 1.1. For each, the model `Bigrams` of 6.6 counts which token follows which. Your `perplexity` and `bits_per_byte` measure it on the validation text, and your own GPT, if you have saved one.
#
# **Predict:** do perplexity and bits per byte rise or fall with the vocabulary?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def draw_tokenizers(vocabularies=(256, 384, 512, 1024, 2048), share=1.0, example="evaluates the expression before assignment"):
    training, validation = lesson.corpus()
    training = training[: int(share * len(training))]
    n_bytes = len(validation.encode())

    def measure(model, ids, window):
        """Perplexity per token, and bits per byte."""
        found = perplexity(model, torch.tensor([ids]), [len(ids)], window, window)
        return found, bits_per_byte([[(len(ids) - 1) * math.log(found)]], [validation])

    own = lesson.gpt()
    own_numbers = measure(own.model, own.tokenizer.encode(validation), 64)
    measured, cuts, lengths = [], [], []
    for vocabulary in vocabularies:
        tokenizer = make_tokenizer(training, vocabulary)
        ids = tokenizer.encode(validation).ids
        measured.append(measure(Bigrams(tokenizer.encode(training).ids, vocabulary).eval(), ids, 4096))
        lengths.append(n_bytes / len(ids))
        cuts.append(tokenizer.encode(example).offsets)

    figure = plt.figure(figsize=(9.5, 5.6))
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.5))
    top, left, right = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    for y, offsets in enumerate(cuts):
        for i, (begin, end) in enumerate(offsets):
            top.add_patch(plt.Rectangle((begin + 0.06, y - 0.4), end - begin - 0.12, 0.8, facecolor=["0.9", "0.78"][i % 2], edgecolor="0.4"))
        for place, sign in enumerate(example):
            top.text(place + 0.5, y, sign, ha="center", va="center", family="monospace", fontsize=10)
    top.set(xlim=(-0.2, len(example) + 0.2), ylim=(len(cuts) - 0.4, -0.6), title="One text, cut into tokens", xticks=[], ylabel="vocabulary")
    labels = [f"{vocabulary:,}" for vocabulary in vocabularies]
    top.set_yticks(range(len(cuts)), labels=labels)
    top.grid(visible=False)
    top.tick_params(length=0)
    top.spines[:].set_visible(False)
    for ax, values, own_value, title, form in zip((left, right), zip(*measured, strict=True), own_numbers, ("Perplexity per token", "Bits per byte"), ("{:.0f}", "{:.2f}"), strict=True):
        ax.plot(vocabularies, values, "o-", color="C0", label="pairs of tokens")
        ax.plot(len(own.tokenizer), own_value, "*", color="C1", mec="black", ms=16, label=f"GPT: {own_value:.{1 if ax is left else 2}f}")
        for vocabulary, value in zip(vocabularies, values, strict=True):
            ax.annotate(form.format(value), (vocabulary, value), xytext=(-9 if ax is left else 9, 5), textcoords="offset points", ha="center", fontsize=9)
        ax.set_xscale("log", base=2)
        ax.set_xticks(vocabularies, labels=labels)
        ax.minorticks_off()
        ax.set(title=title, xlabel="vocabulary", ylim=(0, 1.2 * max(values)), xlim=(vocabularies[0] / 1.2, vocabularies[-1] * 1.2))
    left.legend(fontsize=9, loc="upper left")
    right.legend(fontsize=9, loc="lower left")
    plt.show()
    print("bytes per token:", ", ".join(f"{length:.1f}" for length in lengths))


try:
    draw_tokenizers()
except NotImplementedError:
    print("This figure needs perplexity and bits_per_byte of exercise 6.6.")

# %% [markdown]
# **Perplexity rises from 11 to 89 while the model gets better:** it needs 3.42 bits for a byte with the first tokenizer, and 1.78 with the last. Both are true, since
#
# $$\text{perplexity per token} = 2^{\;\text{bits per byte} \;\times\; \text{bytes per token}} ,$$
#
# and the bytes per token grow from 1 to 3.6, faster than the bits per byte fall. With longer tokens, one token back is a longer piece of the text.
#
# **The GPT** (the packaged copy; yours will be near) needs half as many bits as the byte pairs: 1.71. With its own vocabulary of 512 tokens, perplexities may be compared: 14 against 32. But counting pairs of 2,048 tokens, in a table of four million entries, comes within .07 bits.
#
# **So a perplexity needs its unit.** The same GPT has a perplexity of 14.3 per token, 3.3 per byte and 6,400 per word.
#
# **Change, predict, run.** `draw_tokenizers(share=0.1)` learns everything from the first tenth of the training text. Will a larger vocabulary still always be better?
#
# <details><summary>What you should see</summary>
#
# No: the bits per byte fall from 4.1 to 3.0 at 1,024 tokens, and rise to 3.2 at 2,048. The longer the tokens, the rarer each pair, and a tenth of the text contains too few of them. Perplexity only rises.
# </details>
