# %% [markdown]
# ## 2.10 How often may it read the same page?
#
# The small GPT of chapter 1 read its 330,000 characters about sixteen times. With more passes, what is still learnt? For large language models, good text runs out. Muennighoff et al. (arXiv:2305.16264) trained hundreds of models on repeated text. Up to
# four passes were nearly as good as the same amount of new text; the value of each further pass fell, towards nothing.
#
# The figure trains the same network for 480 steps on all of the training text, and on the first sixteenth of it, which it reads 25 times: without restraint, with dropout,
# and with twenty times as much weight decay. All are measured on the same validation text. The figure takes up to two minutes. **Predict:** how far above the first curve will the second one end? Does either restraint help?

# %% tags=["demo", "nbval-ignore-output"]
def draw_repetitions(recipes, steps=480, every=60, seed=0):
    """Validation loss, in bits per byte, of small GPTs trained on parts of the corpus: name -> (share of the text, dropout, weight decay)."""
    from autograder import gpt

    training_text, validation_text = lesson.corpus()
    tokenizer = lesson.gpt(own=False).tokenizer
    training, validation = (torch.tensor(tokenizer.encode(text)) for text in (training_text, validation_text))
    validation = validation[:4096]
    bits = (len(validation) - 1) / math.log(2) / len(tokenizer.decode(validation.tolist()).encode())  # for one nat per token
    fig, ax = plt.subplots(figsize=(8.5, 3.6))
    for number, (name, (share, dropout, decay)) in enumerate(recipes.items()):
        text = training[: int(share * len(training))]
        torch.manual_seed(seed)
        model = gpt.GPT(dropout=dropout)
        optimizer = gpt.make_optimizer(model, steps, decay=decay)
        losses = bits * np.array(gpt.train(model, optimizer, text, validation, steps, every, batch=8, seed=seed))
        fitted = bits * gpt.evaluate(model, text[:4096])
        passes = steps * 8 * 64 / len(text)
        print(f"{name:30s} {passes:5.1f} passes; at the end, {fitted:.2f} bits per byte on training text, {losses[-1]:.2f} on new text; lowest {losses.min():.2f}")
        ax.plot(np.arange(len(losses)) * every, losses, ["-", "--", "-", "-.", ":"][number % 5], color=f"C{number % 6}", marker="o", ms=3.5, label=name)
    ax.set(title="Loss on the same validation text", xlabel="step", ylabel="bits per byte")
    ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


draw_repetitions({
    "all of the text": (1.0, 0.0, 0.1),
    "a sixteenth": (1 / 16, 0.0, 0.1),
    "a sixteenth, dropout 0.3": (1 / 16, 0.3, 0.1),
    "a sixteenth, weight decay 2": (1 / 16, 0.0, 2.0),
})

# %% [markdown]
# In each printed line, the distance between the losses on training text and on new text is the gap. With all of the text there is none yet. With a sixteenth, unrestrained, it is about 0.6 bits per byte, and the loss on new text is 0.01 to 0.15 above that of the first curve (three seeds): a page that is read again mostly teaches that page by heart. Neither restraint helps reliably: the loss on new text moves by less than 0.1, up or down with the seed. No curve turns upwards, so stopping early would not help, either.
#
# ### The text that repeats itself
#
# The corpus is Python's own documentation, and its topics quote each other. Split it by topic, and look for pieces of the validation text in the training text:

# %% tags=["demo", "shown"]
def share_seen(training: str, validation: str, length: int = 50) -> float:
    """The share of the pieces of that many characters of the validation text that stand in the training text, too."""
    seen = {training[i : i + length] for i in range(len(training) - length + 1)}
    places = range(len(validation) - length + 1)
    return sum(validation[i : i + length] in seen for i in places) / len(places)


def compare_splits():
    from pydoc_data.topics import topics

    names = sorted(topics)
    by_topic = ["\n\n".join(topics[name] for i, name in enumerate(names) if (i % 10 == 9) is chosen) for chosen in (False, True)]
    print(f"split by topic: {share_seen(*by_topic):.1%} of the pieces of validation text stand in the training text")
    print(f"repeated paragraphs removed, split in blocks: {share_seen(*lesson.corpus()):.1%}")


compare_splits()

# %% [markdown]
# With the first split, nearly half of the "new" text is old. With other topics held out, and repetitions left in again, the share was 79 %. There, ten times as much training seemed to improve the model of chapter 1 from 1.55 to 1.20 bits per byte. Measured on
# pieces that it had not seen, it got **worse**, from 1.87 to 2.15 (one run). It is the leak of exercise 2.5: paragraphs that quote each other are one patient. So `lesson.corpus()` removes repetitions first and splits in blocks afterwards.
#
# **Change, predict, run.** Give `share_seen` the argument `length=20` in both calls. Which of the two numbers will rise more?
#
# <details><summary>Answer</summary>
#
# The second, from 4 % to 16 % (the first from 47 % to 54 %). Twenty characters are often a common phrase. A test for leaks needs pieces so long that they do not meet by chance.
# </details>
