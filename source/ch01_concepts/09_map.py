# %% [markdown]
# ## 1.9 The rest of the map
#
# Eight exercises cannot cover everything that goes by the name of a large model. This section places what is left: how other
# kinds of data become sequences and grids, what data and hardware a model takes, and what rules apply. The frame is always
# the same. Ask **what goes in, what comes out, which loss compares the two, and who judges the result**.
#
# | task | in → out | usual model | loss | judged by |
# |---|---|---|---|---|
# | topic, sentiment | text → class | encoder (1.6), or a prompt to a decoder | cross-entropy | F1 per class on texts from a later month |
# | translation | text → text | encoder-decoder (1.2), or a decoder | cross-entropy per token | people; BLEU (Papineni et al., ACL 2002) as a cheap stand-in |
# | question answering | question, passage → span, or text | encoder with two pointers; decoder | cross-entropy of start and end; per token | exact match, and whether the source says so |
# | search | query, 10 million documents → ranking | two encoders, one vector each | contrastive | recall at 10, clicks |
# | customer service | conversation → reply | decoder with retrieval | cross-entropy per token, then preferences | resolved cases, complaints, cost per case |
# | image recognition | pixels → class | CNN (1.7), vision transformer | cross-entropy | error per class, also on other cameras |
# | detection | pixels → boxes with classes | YOLO, Faster R-CNN, DETR | class and box losses | average precision over overlaps |
# | face or plate recognition | two images → same or not | CNN or transformer to a vector | contrastive, margin | false accepts at a fixed rate of false rejects |
# | image generation | noise (and text) → pixels | diffusion model; GAN (1.8) | squared error of the noise; adversarial | people; distances between distributions |
# | speech recognition | waveform → text | encoder-decoder, or encoder with CTC | cross-entropy; CTC | word error rate, by accent and noise |
#
# In translation, BERT alone will not do: it fills gaps in a text that it sees whole, and has no decoder to write another text with.
# Question answering comes in two kinds. *Extractive* models point at the answer: the classifier of 1.6 with two outputs per token, one for the
# start and one for the end (Devlin et al., arXiv:1810.04805, section 4.2). *Generative* models write it, and may write what
# no source says; retrieving passages first and showing them to the model (Lewis et al., *Retrieval-Augmented
# Generation*, arXiv:2005.11401) makes answers checkable, since a reader can open the passage.

# %% [markdown]
# ### Vision: more than one label per image
#
# **Inception** (Szegedy et al., *Going Deeper with Convolutions*, arXiv:1409.4842) asks which kernel size a layer should have, and
# answers: several at once. A block runs $1\times1$, $3\times3$ and $5\times5$ convolutions side by side and concatenates their channels; cheap
# $1\times1$ convolutions first reduce the channels that the large kernels see. Its third version has fewer than 25 million parameters
# (arXiv:1512.00567).
#
# A **detector** says what is where. **Faster R-CNN** (Ren et al., arXiv:1506.01497) works in two stages: a small network slides over the feature map
# and proposes regions; a second head classifies each region and corrects its box. **YOLO** (Redmon et al., arXiv:1506.02640) needs
# one stage: the image is cut into a grid, and each cell predicts boxes and classes in a single pass. On the same
# GPU that made 45 images a second against 7, at a mean average precision of 63.4 against 73.2 (the YOLO paper, table 1).
#
# Both report an object several times, so both end in **non-maximum suppression**: take the box with the highest score, drop the boxes of its class that
# overlap it by more than a limit, often one half, repeat. Overlap is *intersection over union*, the shared area divided by the area that both cover together. DETR (Carion et
# al., arXiv:2005.12872) makes do without: a transformer decoder predicts a set of boxes, and in training a matching assigns each object to one of them.
#
# A **vision transformer** (Dosovitskiy et al., *An Image is Worth 16x16 Words*, arXiv:2010.11929) cuts the image into patches, projects each to a vector and treats
# these as tokens. It knows nothing of neighbourhoods beforehand, and does best where data is plentiful.

# %% tags=["demo"]
def overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(a) + area(b) - shared)


def suppress(boxes, scores, limit=0.5):
    """Indices of the boxes that non-maximum suppression keeps."""
    kept = []
    for index in np.argsort(scores)[::-1]:
        if all(overlap(boxes[index], boxes[other]) < limit for other in kept):
            kept.append(int(index))
    return kept


from sklearn.datasets import load_sample_image

flower = load_sample_image("flower.jpg")  # by danielbuechele, CC BY 2.0; comes with scikit-learn
rng = np.random.default_rng(1)
petals = np.array([180, 90, 448, 355])
boxes = np.vstack([petals + rng.normal(0, 14, (5, 4)), [[350, 330, 560, 425], [20, 240, 150, 380]]])
scores = np.array([0.94, 0.88, 0.81, 0.75, 0.66, 0.31, 0.24])
kept = suppress(boxes, scores)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.7))
axes[0].set_title("Vision transformer: patches as tokens")
for x in range(0, 640, 64):
    axes[0].axvline(x, color="white", lw=1)
for y in range(0, 427, 64):
    axes[0].axhline(y, color="white", lw=1)
for ax, chosen, title in [(axes[1], range(len(boxes)), f"A detector's {len(boxes)} boxes"), (axes[2], kept, f"{len(kept)} remain after suppression")]:
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

# %% [markdown]
# Suppression removes *duplicates*, not *mistakes*: two boxes with low scores are still there. A threshold on the score decides about those, and with it
# how many objects are missed. Chapter 6 is about such trade-offs.
#
# ### Speech: a picture of sound
#
# A second of speech, sampled at 16 kHz, is 16,000 numbers, too many for tokens. A **spectrogram** cuts the wave into short overlapping windows and measures how much of
# each frequency is in each: a picture with time on one axis. Whisper (Radford et al., *Robust Speech Recognition via Large-Scale Weak
# Supervision*, arXiv:2212.04356) takes windows of 25 ms every 10 ms, so 30 seconds are 3,000 columns; a convolution with stride two
# halves them to 1,500 positions of an encoder-decoder transformer, the one of exercise 1.2. Its 680,000 hours of training
# data are transcripts found on the web. An alternative without a decoder is CTC (Graves et al., ICML 2006): the
# encoder emits a letter or a blank per frame, and the loss sums over all alignments.

# %% tags=["demo"]
rate = 16_000
seconds = np.arange(int(1.5 * rate)) / rate
rise = np.sin(2 * np.pi * (300 * seconds + 500 * seconds**2)) * (seconds < 0.7)
vowel = sum(np.sin(2 * np.pi * 140 * k * seconds) / k for k in range(1, 12)) * (seconds > 0.8)
wave = 0.8 * rise + 0.5 * vowel + 0.02 * np.random.default_rng(0).normal(size=len(seconds))
fig, axes = plt.subplots(1, 2, figsize=(9, 2.7))
axes[0].plot(seconds, wave, lw=0.3)
axes[0].set(xlabel="time (s)", ylabel="amplitude", title=f"{len(wave):,} samples")
power, *_ = axes[1].specgram(wave, NFFT=400, Fs=rate, noverlap=240, cmap="magma", vmin=-120)
axes[1].set(xlabel="time (s)", ylabel="frequency (Hz)", ylim=(0, 3000), title=f"{power.shape[1]} windows of 25 ms, one every 10 ms")
axes[1].grid(False)
plt.show()

# %% [markdown]
# The first sound is a whistle that rises, one line; the second has the harmonics of a voice, many lines. What was a fine oscillation on the left is a shape on the right, and
# shapes are what convolutions and patches are good at.
#
# ### Choosing an architecture
#
# | if | then start with | because |
# |---|---|---|
# | few hundred labels, text | a pretrained encoder, fine-tuned; a linear model on its vectors as a baseline | pretraining brings what the labels cannot teach |
# | text has to be written | a pretrained decoder | it predicts the next token, which is the task |
# | input and output are different sequences, and the input is known in full before writing | an encoder-decoder | the encoder sees the whole input in both directions |
# | images, small data or small device | a CNN | its built-in locality saves data; quantises well |
# | images, large pretraining set | a vision transformer | fewer built-in assumptions, more to learn from |
# | long streams, a fixed memory, one step at a time | a recurrent or state-space model | constant memory per step; attention's cache grows |
# | a table of a few thousand rows | gradient boosting (chapter 2) | no large model at all |
#
# Latency, memory and the cost of a mistake come before the leaderboard. A model of ten million parameters that answers in 20 ms on the
# phone beats one of ten billion that needs a connection, if the task is reading a meter.

# %% [markdown]
# ### Data
#
# What a model learns, it learns from its data. Most of the work is throwing data away. For GPT-3, 45 TB of compressed
# text from Common Crawl were filtered down to 570 GB (Brown et al., arXiv:2005.14165, section 2.2). The usual steps:
#
# 1. **Extract** text from pages; find its language.
# 2. **Deduplicate.** Copies waste compute and are memorised; without them models emit memorised text ten times less often
#    (Lee et al., *Deduplicating Training Data Makes Language Models Better*, arXiv:2107.06499, abstract).
# 3. **Filter** by quality, and remove personal data. What stays can come out again: Carlini et al. (*Extracting Training Data from Large Language Models*,
#    arXiv:2012.07805) got names, phone numbers and e-mail addresses out of GPT-2.
# 4. **Decontaminate**: take out the test sets on which the model will be judged.
# 5. **Mix** sources, and decide how often each is seen.
#
# More devices that send more telemetry do not help a language model: it needs text that is worth predicting. The public stock of that is finite. Villalobos
# et al. (*Will we run out of data?*, arXiv:2211.04325) expect that models will be trained on about all of it between 2026 and 2032.
#
# ### Hardware and time
#
# Training is bound by matrix products, so it runs on chips that are made of multipliers: GPUs and TPUs. A CPU feeds them. How long does it take?
# Operations, divided by what the machines really do:
#
# $$\text{days} = \frac{C}{86{,}400 \cdot n_\text{GPU} \cdot \text{peak} \cdot \text{utilisation}}$$
#
# The figure uses your calculator from 1.1 and an H100, whose peak for dense products in 16 bits is 989 TFLOP/s (NVIDIA's data sheet), at a utilisation of 40 %.

# %% tags=["demo", "raises-exception"]
gpus = np.logspace(0, 4.3, 50)
sizes = {
    "GPT-2 small, 10 B tokens": (GPT2_SMALL, 10e9, 1024),
    "Llama 3 8B, 15 T tokens": (LLAMA3_8B, 15e12, 8192),
}
fig, ax = plt.subplots(figsize=(7.5, 3.4))
for name, (config, tokens, length) in sizes.items():
    hours = gpu_hours(training_flops(config, int(tokens), length), peak=989e12, utilisation=0.4)
    ax.plot(gpus, hours / 24 / gpus, label=name)
hours = gpu_hours(3.8e25, peak=989e12, utilisation=0.4)  # FLOPs as reported in arXiv:2407.21783
ax.plot(gpus, hours / 24 / gpus, label="Llama 3.1 405B")
for days, name in [(1, "a day"), (30, "a month"), (365, "a year")]:
    ax.axhline(days, color="0.6", lw=1, ls=":")
    ax.text(1.15, days * 1.15, name, fontsize=8.5, color="0.35")
ax.set(xscale="log", yscale="log", xlabel="number of GPUs", ylabel="days", ylim=(0.05, 2e6),
       title="Time to train, if adding GPUs cost nothing in utilisation")
ax.legend(loc="upper right", fontsize=8.5)
plt.show()

# %% [markdown]
# On one machine, hours to days is right for GPT-2 small, and wrong by orders of magnitude for the others. The straight lines are optimistic: utilisation
# falls as GPUs are added, and beyond a certain batch size more of them do not reduce the number of steps (chapter 4).
#
# ### What is hard, and where this course takes it up
#
# | challenge | why | chapter |
# |---|---|---|
# | compute | a run costs as much as it says in 1.1, and the first one is rarely the last | 3, 4 |
# | data | rights, quality, and an end of the supply | 2, 3 |
# | memorising instead of learning | small data, many passes | 2 |
# | settings | each trial is expensive | 5 |
# | judging | one number such as accuracy says little about a text | 6 |
# | attacks and privacy | inputs can be hostile, outputs can leak | 7 |
# | explaining | medicine and finance have to give reasons | 8 |
#
# ### Open weights, open source, and the law
#
# A model whose weights can be downloaded is **open-weight**. Whether it is **open source** is another question: the Open Source AI Definition 1.0 of the Open
# Source Initiative (2024) also asks for the code, for detailed information about the training data, and for the freedom to use the model for any purpose. Many
# well-known licences fail that: read yours before you build on it.
#
# In the European Union, Regulation (EU) 2024/1689, the AI Act, obliges providers of general-purpose models to document them, to respect copyright and to publish a summary
# of the training content (article 53; these duties apply since 2 August 2025, article 113). A model trained with more than $10^{25}$ FLOPs is presumed to have systemic risk (article 51), which adds evaluations,
# incident reports and security (article 55). You can check that yourself: Llama 3.1 405B, at $3.8 \times 10^{25}$, is above the line; Llama 3 8B, at $6ND \approx 7 \times 10^{23}$, is
# not. In China, the Interim Measures for the Management of Generative AI Services (in force since 15 August 2023) ask for training data from lawful sources
# and for consent where it contains personal information (article 7). What applies to a product depends on what it is used for and where; ask a lawyer, and bring numbers.

