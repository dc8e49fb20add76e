# %% [markdown]
# ## 1.12 The rest of the map
#
# For any task, ask **what goes in, what comes out, which loss compares the two, and who judges the result**. Sorting texts by sentiment or topic, or letters to customer service by what they are about, is classification: an encoder with a head (1.7). So is recognising a vehicle; for faces, one compares vectors, because the people are not known in training. For an answer with **retrieval** (arXiv:2005.11401), passages are looked up in a collection and put into the prompt; to judge it, check that the passage that it names says the same.
#
# ### Pictures and sound
#
# A **vision transformer** (Dosovitskiy et al., arXiv:2010.11929) treats patches of an image as tokens. A **detector** says what is where: **Faster R-CNN** (arXiv:1506.01497)
# proposes regions and then classifies them; **YOLO** (arXiv:1506.02640) predicts boxes and classes in one pass, which is faster and less accurate (its table 1). Such networks are small: Inception-v3, a classifier of the same years, has fewer than 25 million parameters (arXiv:1512.00567). Both detectors end in **non-maximum suppression**: keep the box with the highest score, drop those that overlap it too much,
# repeat. **Predict:** how many of these seven invented boxes remain?

# %% tags=["demo"]
def boxes_and_patches(limit=0.5):
    """A photograph as patches; seven boxes drawn by hand, with noise, and those that non-maximum suppression keeps."""
    from sklearn.datasets import load_sample_image

    def overlap(a, b):
        """Intersection over union of two boxes (left, top, right, bottom)."""
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
        return shared / (area(a) + area(b) - shared)

    flower = load_sample_image("flower.jpg")  # by danielbuechele, CC BY 2.0; comes with scikit-learn
    petals = np.array([180, 90, 448, 355])
    boxes = np.vstack([petals + np.random.default_rng(1).normal(0, 14, (5, 4)), [[350, 330, 560, 425], [20, 240, 150, 380]]])
    scores, kept = np.array([0.94, 0.88, 0.81, 0.75, 0.66, 0.31, 0.24]), []
    for index in np.argsort(scores)[::-1]:
        if all(overlap(boxes[index], boxes[other]) < limit for other in kept):
            kept.append(int(index))
    _, axes = plt.subplots(1, 3, figsize=(9.5, 2.7))
    axes[0].set_title("Patches as tokens")
    for x in range(0, 640, 64):
        axes[0].axvline(x, color="white", lw=1)
    for y in range(0, 427, 64):
        axes[0].axhline(y, color="white", lw=1)
    for ax, chosen, title in [(axes[1], range(len(boxes)), f"{len(boxes)} boxes, drawn by hand, with noise"), (axes[2], kept, f"{len(kept)} remain after suppression")]:
        ax.set_title(title)
        for index in chosen:
            left, top, right, bottom = boxes[index]
            ax.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, lw=1.6, color="white" if scores[index] > 0.5 else "C4"))
            if chosen is kept:
                ax.text(left + 4, top + 6, f"{scores[index]:.2f}", color="black", fontsize=8, va="top", bbox=dict(facecolor="white", edgecolor="none", pad=1))
    for ax in axes:
        ax.imshow(flower)
        ax.axis("off")
    plt.show()


boxes_and_patches()

# %% [markdown]
# Suppression removes *duplicates*, not *mistakes*: the box on the leaves is still there.
#
# Speech becomes a picture, too: a **spectrogram**, the strength of each frequency in each short window.
#
# ### Data
#
# For GPT-3, 45 TB of compressed text from Common Crawl were filtered down to 570 GB (arXiv:2005.14165, section 2.2). The usual steps:
#
# 1. **Deduplicate.** Without copies, models emit memorised text ten times less often (Lee et al., arXiv:2107.06499).
# 2. **Filter** by quality, and remove personal data: phone numbers came out of GPT-2 again (Carlini et al., arXiv:2012.07805).
# 3. **Decontaminate**: take out the test sets.
#
# All public text may be used up between 2026 and 2032 (Villalobos et al., arXiv:2211.04325). Readings of sensors and logs of devices are no substitute: a language model needs text that is worth predicting.
#
# ### Hardware and time
#
# Nearly all operations of training are matrix products, and they run on the accelerator, a GPU or a TPU. The CPU loads the data and starts the work; a faster one helps only if the accelerator waits for it (3.10).
# The figure uses your calculator, and an H100 at 40 % of its peak of 989 TFLOP/s.

# %% tags=["demo"]
def time_to_train(peak=989e12, utilisation=0.4):
    """Days of training for three published runs, by the number of GPUs."""
    gpus = np.logspace(0, 4.3, 50)
    try:
        runs = {
            "GPT-2 small, 10 B tokens": training_flops(GPT2_SMALL, 10_000_000_000, 1024),
            "Llama 3 8B, 15 T tokens": training_flops(LLAMA3_8B, 15_000_000_000_000, 8192),
            "Llama 3.1 405B": 3.8e25,  # as reported in arXiv:2407.21783
        }
        days = {name: gpu_hours(flops, peak, utilisation) / 24 for name, flops in runs.items()}
    except NotImplementedError:
        print("This figure is made by your training_flops and gpu_hours (section 1.11). Write them first.")
        return
    _, ax = plt.subplots(figsize=(7.5, 3.4))
    for name, on_one in days.items():
        ax.plot(gpus, on_one / gpus, label=name)
    for limit, name in [(1, "a day"), (30, "a month"), (365, "a year")]:
        ax.axhline(limit, color="0.6", lw=1, ls=":")
        ax.text(1.15, limit * 1.15, name, fontsize=8.5, color="0.35")
    ax.set(xscale="log", yscale="log", xlabel="number of GPUs", ylabel="days", ylim=(1e-6, 2e6),
           title="Time to train, if adding GPUs cost nothing in utilisation")
    ax.legend(loc="upper right", fontsize=8.5)
    plt.show()


time_to_train()

# %% [markdown]
# One GPU would need six hours for GPT-2 small, and seventy years for Llama 3 8B. The straight lines are optimistic: utilisation falls as GPUs are added (chapter 4).
#
# A trained model can be cut down, but then it has to be trained further: Llama 2 7B, cut to 1.3 billion parameters, on 50 billion tokens (Xia et al., arXiv:2310.06694).
#
# ### Open weights, open source, and the law
#
# A model whose weights can be downloaded is **open-weight**. The Open Source AI Definition 1.0 (2024) asks for more: code, details of the training
# data, and use for any purpose.
#
# In the European Union, the AI Act (2024/1689) has rules for providers of general-purpose models, which have applied since 2 August 2025:
#
# - They document the model, respect copyright, and publish a summary of the training content (article 53).
# - Open-source models are exempt from the documentation only, and not if they have systemic risk (article 53(2)).
# - Systemic risk is presumed above $10^{25}$ FLOPs (article 51). Llama 3.1 405B took $3.8 \times 10^{25}$.
#
# China's Interim Measures for Generative AI Services have applied since 15 August 2023. Sources of training data have to be lawful, and personal information in it needs consent (article 7).
#
# **Your turn.** How many H100s would train Llama 3.1 405B within a month? Read it off the figure, then compute `gpu_hours(3.8e25, 989e12, 0.4) / 24 / 30`.
#
# <details><summary>Answer</summary>
#
# About 37,000: more than the 20,000 at the right end of the axis, where it takes almost two months.
# </details>
