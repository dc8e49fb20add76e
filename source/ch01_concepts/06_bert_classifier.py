# %% [markdown]
# ## 1.6 A BERT classifier, repaired
#
# GPT reads from left to right: no token sees what follows it, or it could not be trained to predict that.
# Whoever wants to *judge* a sentence has all of it already, and the mask only hides half the evidence.
# **BERT** (Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*,
# arXiv:1810.04805) is a transformer **encoder**: every token looks at every token, in both directions. It is
# pretrained by guessing tokens that were masked out, and by telling whether one sentence follows another. Then it is fine-tuned
# with one linear layer on top:
#
# $$h_0, \dots, h_{T-1} = \mathrm{encoder}(\texttt{[CLS]}, w_1, \dots, w_n, \texttt{[SEP]}), \qquad
# p = \tanh(W_p h_0 + b_p), \qquad z = W\,\mathrm{dropout}(p) + b .$$
#
# The token `[CLS]` in front stands for no word. Its output $h_0$ is where the encoder may collect what it finds out about
# the sentence; $p$ is called the **pooled output**, and $z$ are the logits of the classes.
#
# Two corrections of what interview guides say. The "Transformer library" is called **Hugging Face
# Transformers** (Wolf et al., *HuggingFace's Transformers: State-of-the-art Natural Language Processing*,
# arXiv:1910.03771); *the* transformer is the architecture, of which that library holds many.
# And BERT alone does not translate. It gives one vector per input token; to write a sentence of another length in another
# language takes a decoder. BERT's weights can be the start of a translation model's encoder, and even of its
# decoder, once cross-attention is added (Rothe et al., *Leveraging Pre-trained Checkpoints for Sequence Generation
# Tasks*, arXiv:1907.12461).
#
# ### Two listings to diagnose
#
# Here are two listings of the kind that circulates. Make a list for each before you open the answers: which line stops it?
# And what would still be wrong if all lines ran?
#
# ```python
# class ReviewClassifier(nn.Module):                                       # listing A
#     def __init__(self, n_classes=2):
#         super().__init__()
#         self.encoder = BertModel.from_pretrained("bert-base-uncased")
#         self.drop = nn.Dropout(0.1)
#         self.head = nn.Linear(self.encoder.config.hidden_size, n_classes)
#
#     def forward(self, ids, mask):
#         _, pooled = self.encoder(input_ids=ids, attention_mask=mask)
#         return self.head(self.drop(pooled))
# ```
#
# ```python
# from torch.nn import CrossEntropyLoss                                    # listing B
# from torch.utils.data import DataLoader
# from transformers import BertForSequenceClassification, BertTokenizer
#
# tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
# model = BertForSequenceClassification.from_pretrained("bert-base-uncased")
# inputs = tokenizer("the film was not bad", return_tensors="pt")
# labels = tf.constant([1]).unsqueeze(0)
# outputs = model(**inputs, labels=labels)
# print("loss:", outputs.loss, "class:", outputs.logits.argmax(-1))
# ```
#
# <details><summary>Compare your list for A</summary>
#
# | what | why |
# |---|---|
# | `_, pooled = ...` unpacks **names**. | The encoder returns a `ModelOutput`, an ordered dictionary, and iterating over one gives its keys. `pooled` is the text `"pooler_output"`, and the error comes a line later: `dropout(): argument 'input' must be Tensor, not str`. Up to version 3 of the library, models returned tuples and the line was right (huggingface/transformers, issue 8879). Write `.pooler_output`. |
# | Nothing computes a loss, nothing is trained. | The head's weights are random: its opinion is a coin's. |
# | It needs a download. | Not wrong, but without a network it stops. `BertModel(config)` makes the same architecture with random weights. |
# </details>
#
# <details><summary>Compare your list for B</summary>
#
# | what | why |
# |---|---|
# | `tf` is never imported. | `NameError`. With the import, TensorFlow's tensor has no `unsqueeze`; and a PyTorch model wants PyTorch labels: `torch.tensor([1])`. |
# | The labels are meant to have shape `(1, 1)`. | One class per sentence is a shape of `(batch,)`. The extra axis happens to be harmless, because this class flattens its labels; `F.cross_entropy` does not. |
# | The head is random here, too. | The file holds an encoder; the classifier on top is new. The loss is about $\log 2$ and the "class" is noise. |
# | `CrossEntropyLoss` and `DataLoader` are imported and never used. | They are what is missing: a loss, batches, an optimizer, a loop. |
# | Neither `eval()` nor `no_grad()`. | `from_pretrained` returns a model in evaluation mode, so it works by luck. After one epoch of training, or for a model made from a `BertConfig`, dropout is on and the prediction is random; and each forward pass stores a graph that nobody uses. |
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_bert_classifier", "locked": true, "schema_version": 3, "solution": false, "task": false}
from itertools import product

from torch.utils.data import DataLoader

with lesson.quiet():
    from transformers import BertConfig, BertForSequenceClassification, BertModel

OPENINGS = ["", "honestly", "i thought", "after all"]
SUBJECTS = ["the film", "the plot", "the music", "the cast", "the ending"]
ADVERBS = ["", "really", "quite", "very"]
CLOSINGS = ["", "to me", "this time round"]
ADJECTIVES = {1: ["good", "great", "lovely", "brilliant"], 0: ["bad", "poor", "dull", "awful"]}  # by class
REVIEW_WORDS = ["[PAD]", "[CLS]", "[SEP]", "was", "not"]
for _phrase in [*OPENINGS, *SUBJECTS, *ADVERBS, *CLOSINGS, *ADJECTIVES[0], *ADJECTIVES[1]]:
    REVIEW_WORDS += [word for word in _phrase.split() if word not in REVIEW_WORDS]


def review_ids(sentence: str) -> list[int]:
    """The sentence's token ids, with [CLS] in front and [SEP] at the end."""
    return [REVIEW_WORDS.index(word) for word in ["[CLS]", *sentence.split(), "[SEP]"]]


def make_reviews(seed: int) -> tuple[list[str], list[int]]:
    """960 sentences and their classes, 1 for praise: each frame with and without praise, with and without "not"."""
    generator = np.random.default_rng(seed)
    frames = list(product(OPENINGS, SUBJECTS, ADVERBS, CLOSINGS))
    sentences, classes = [], []
    for index in generator.permutation(len(frames)):
        opening, subject, adverb, closing = frames[index]
        for praise in (1, 0):
            adjective = generator.choice(ADJECTIVES[praise])
            for negation in ("", "not"):
                words = f"{opening} {subject} was {negation} {adverb} {adjective} {closing}"
                sentences.append(" ".join(words.split()))
                classes.append(praise if negation == "" else 1 - praise)
    return sentences, classes


def tiny_bert_config() -> BertConfig:
    """A BERT of two layers for these sentences."""
    return BertConfig(
        vocab_size=len(REVIEW_WORDS), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=32, initializer_range=0.1,
        hidden_dropout_prob=0.05, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


review_sentences, review_classes = make_reviews(seed=0)
_examples = [(review_ids(sentence), label) for sentence, label in zip(review_sentences, review_classes, strict=True)]
training_reviews, test_reviews = _examples[:720], _examples[720:]  # a frame's four sentences stay together

# %% [markdown]
# The next cell needs no network. It makes a small BERT with random weights and shows both surprises: what unpacking gives, and
# that a label of shape `(1, 1)` passes unnoticed.

# %% tags=["demo"]
torch.manual_seed(0)
ids = torch.tensor([review_ids("the film was not bad")])
_, pooled = BertModel(tiny_bert_config())(input_ids=ids, attention_mask=torch.ones_like(ids))
print(f"pooled = {pooled!r}: a {type(pooled).__name__}")

bert = BertForSequenceClassification(tiny_bert_config()).eval()
print("parameters:", f"{bert.num_parameters():,}", "  BERT-base has about 110 million")
for labels in (torch.tensor([1]), torch.tensor([[1]])):
    print(f"loss with labels of shape {tuple(labels.shape)!s:6}: {bert(ids, labels=labels).loss:.2f}")

# %% [markdown]
# ### Padding, and why nobody notices a missing mask
#
# A batch is a rectangle and sentences are not. Short ones are filled up with the token `[PAD]`, and an **attention
# mask** tells the encoder which columns are real: 1 for tokens, 0 for padding. Inside, the zeros do what the mask of section 1.3 does.

# %% tags=["demo"]
shown = ["the plot was dull", "honestly the cast was not very good", "the film was not bad to me"]
rows = [["[CLS]", *sentence.split(), "[SEP]"] for sentence in shown]
longest = max(map(len, rows))
fig, axes = plt.subplots(1, 2, figsize=(9.5, 1.9), width_ratios=(2.1, 1))
mask = np.array([[column < len(row) for column in range(longest)] for row in rows])
for ax, title in zip(axes, ("input_ids (here as words)", "attention_mask"), strict=True):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=3.5, aspect="auto")
    ax.set_xticks(np.arange(longest + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(4) - 0.5, labels=[])
    ax.tick_params(length=0)
    ax.grid(color="white", lw=2, alpha=1)
    ax.set_axisbelow(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
for row, column in np.ndindex(mask.shape):
    word = rows[row][column] if mask[row, column] else "[PAD]"
    axes[0].text(column, row, word, ha="center", va="center", fontsize=8.5, color="black" if mask[row, column] else "0.5")
    axes[1].text(column, row, int(mask[row, column]), ha="center", va="center", fontsize=8.5, color="black" if mask[row, column] else "0.5")
plt.show()

# %% [markdown]
# Without a mask the padding is attended to like words, and a sentence's logits depend on its neighbours in
# the batch. You would think that this shows. In a freshly made model it hardly does: BERT's weights start with a standard
# deviation of 0.02, and with such weights the outputs hardly depend on *anything*. The figure pads one sentence to
# twice its length and asks how far its logits move, for weights of growing size. At 0.02 the shift is about as small as
# a tolerance of $10^{-4}$, so a test may well pass a model that ignores the mask; at 0.2 it is some thousand times larger.
# **Test with weights as large as those of a trained model**: the hidden checks do.

# %% tags=["demo"]
ids = torch.tensor([review_ids("the film was not bad")])
padded = F.pad(ids, (0, ids.shape[1]))
masks = {"without a mask": torch.ones_like(padded), "with the mask": (padded != 0).long()}
deviations = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
moved = {name: np.zeros((3, len(deviations))) for name in masks}
for seed in range(3):
    torch.manual_seed(seed)
    bert = BertForSequenceClassification(tiny_bert_config()).eval()
    matrices = [parameter for parameter in bert.parameters() if parameter.dim() == 2]
    before = bert.config.initializer_range
    for index, deviation in enumerate(deviations):
        with torch.no_grad():
            for matrix in matrices:
                matrix.mul_(deviation / before)
            before = deviation
            alone = bert(ids).logits
            for name, mask in masks.items():
                moved[name][seed, index] = (bert(padded, attention_mask=mask).logits - alone).abs().max()
fig, ax = plt.subplots(figsize=(6.4, 3))
for (name, values), marker, color in zip(moved.items(), "os", ("C5", "C0"), strict=True):
    ax.plot(deviations, np.maximum(np.median(values, axis=0), 1e-9), marker + "-", ms=5, color=color, label=name)
ax.axhline(1e-4, color="0.5", ls=":", lw=1)
ax.text(0.4, 7e-5, "a tolerance of $10^{-4}$", fontsize=8.5, ha="right", va="top", color="0.35")
ax.axvline(0.02, color="0.8", lw=1)
ax.text(0.0205, 3e-9, "BERT's start", fontsize=8.5, color="0.35")
ax.set(xscale="log", yscale="log", ylim=(1e-9, 10), xlabel="standard deviation of the weights", ylabel="largest shift of a logit",
       title="Padding one sentence to twice its length")
ax.set_xticks(deviations, labels=[f"{deviation:g}" for deviation in deviations])
ax.minorticks_off()
ax.legend(loc="center right", bbox_to_anchor=(1, 0.32), fontsize=8.5)
plt.show()

# %% [markdown]
# ### Reviews that cannot be judged word by word
#
# The data are short reviews from a small grammar. Each frame, such as "the film was … to me", comes four times:
#
# | | praise | blame |
# |---|---|---|
# | plain | the film was **good** to me → 1 | the film was **dull** to me → 0 |
# | with *not* | the film was **not good** to me → 0 | the film was **not dull** to me → 1 |
#
# A linear classifier on word counts gives each word a weight and adds them up: $s = w \cdot x + b$. The two
# sentences of class 1 contain, taken together, the same words as the two of class 0, so
# $s(\text{good}) + s(\text{not dull}) = s(\text{not good}) + s(\text{dull})$. But the left side should be positive and the right side negative:
# at most three of the four can be right. Fitted by maximum likelihood, it does worse still. Each word occurs equally often
# in both classes, so zero weights are the optimum, and the classifier is at chance, whatever the amount of data.
# What is needed is an interaction of two words at different places, which is what attention is for.
#
# The training set has 720 sentences, the test set 240 with other frames: no test sentence occurs in training.

# %% tags=["demo"]
from sklearn.linear_model import LogisticRegression


def word_counts(examples):
    """One row per sentence: how often each word occurs."""
    return np.array([np.bincount(ids, minlength=len(REVIEW_WORDS)) for ids, _ in examples])


def review_labels(examples):
    return np.array([label for _, label in examples])


for sentence, label in zip(review_sentences[:4], review_classes[:4], strict=True):
    print(label, sentence)
baseline = LogisticRegression().fit(word_counts(training_reviews), review_labels(training_reviews))
baseline_share = baseline.score(word_counts(test_reviews), review_labels(test_reviews))
print(f"\nlogistic regression on word counts: {baseline_share:.0%} of the test sentences, largest weight {np.abs(baseline.coef_).max():.2f}")

# %% [markdown]
# ### Exercise 1.6 · The BERT classifier, repaired
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch, Hugging Face Transformers
#
# **Given** are `tiny_bert_config()`, the vocabulary, and `training_reviews` and `test_reviews`: lists of pairs (token ids, class), as
# `[(review_ids("the film was not bad"), 1), ...]`.
#
# **Write** what the two listings lack, in four parts: `collate_reviews` makes a batch of unequal sentences,
# `BertClassifier` is the model, `train_bert_epoch` trains it for one epoch, and `predict_reviews` uses it.
#
# Build the model from `BertModel` and `nn.Linear`. `BertForSequenceClassification` is what you are building, so do without it, and do without
# `from_pretrained`: the hidden checks make both fail. (Afterwards, compare: that is how your answer is graded.)
#
# The functions do not know whose model they get. `train_bert_epoch` and `predict_reviews` call it with the ids
# and the mask, `model(input_ids, attention_mask)` (by position or by name), and get logits; the checks also use
# a small linear model whose every step is known by hand.
#
# <details><summary>Hint 1: passing three tensors to the encoder</summary>
#
# Tokenizers list `input_ids, token_type_ids, attention_mask`; `BertModel.forward` takes `input_ids, attention_mask, token_type_ids`. All
# three have the same shape and type, so no error tells you when two are exchanged. Pass them by name.
# </details>
#
# <details><summary>Hint 2: where is the softmax?</summary>
#
# Nowhere. `F.cross_entropy` takes logits and applies a log-softmax itself; the largest logit is also the largest
# probability. With a softmax in front, the loss of two classes cannot fall below $\log(1 + e^{-1}) = 0.31$, and there is no error message.
# </details>
#
# <details><summary>Hint 3: the mean over an epoch</summary>
#
# `F.cross_entropy` returns the mean over its batch. The last batch may be smaller, so the mean of these means is not the mean over the
# examples: add up loss × batch size and divide by the number of examples. `.item()` keeps the number without the graph.
# </details>
#
# <details><summary>Hint 4: two switches</summary>
#
# `model.eval()` turns dropout off, `torch.no_grad()` stops the recording of gradients. Neither does the other's work. Whoever evaluates
# after each epoch and forgets to restore the mode trains without dropout from then on: `model.training` tells what it was.
# </details>

# %% nbgrader={"grade": false, "grade_id": "bert_classifier", "locked": false, "schema_version": 3, "solution": true, "task": false}
def collate_reviews(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    """Makes one batch of examples of unequal length.

    Args:
        examples: one or more pairs (token ids, class); no id is 0. Not modified.

    Returns:
        A dict of three int64 tensors, rows in the order of the examples: "input_ids" (batch,
        longest), filled up on the right with 0, the id of [PAD], to the length of the longest
        example; "attention_mask" (batch, longest), 1 for tokens and 0 for padding; "labels"
        (batch,), the classes.

    >>> collate_reviews([([1, 7, 2], 0), ([1, 2], 1)])["attention_mask"]
    tensor([[1, 1, 1],
            [1, 1, 0]])
    """
    ### BEGIN SOLUTION
    longest = max(len(ids) for ids, _ in examples)
    return {
        "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in examples]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in examples]),
        "labels": torch.tensor([label for _, label in examples]),
    }
    ### END SOLUTION


class BertClassifier(nn.Module):
    """A BERT encoder with a linear classifier on its pooled [CLS] output.

    It has the attributes `bert`, a BertModel, and `classifier`, an nn.Linear from
    config.hidden_size to config.num_labels, and no parameters but theirs. Dropout with probability
    config.hidden_dropout_prob acts on the pooled output, in training mode only.

    Args:
        config: sizes and probabilities. All weights start at random; nothing is downloaded.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        ### BEGIN SOLUTION
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        ### END SOLUTION

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """From token ids to logits.

        Args:
            input_ids: (batch, T), int64, with [CLS] in the first column.
            attention_mask: (batch, T), int64: 1: may be looked at, 0: may not, whatever the id is.
            token_type_ids: (batch, T), int64: 0 for tokens of a first sentence, 1 for those of a
                second one, for tasks with pairs of sentences. None: all 0.

        Returns:
            Logits (batch, config.num_labels).
        """
        ### BEGIN SOLUTION
        output = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.classifier(self.dropout(output.pooler_output))
        ### END SOLUTION


def train_bert_epoch(
    model: nn.Module,
    batches: list[dict[str, torch.Tensor]] | DataLoader,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Trains the model for one epoch: for each batch, in the order given, one step of the
    optimizer.

    Each step uses the gradient of the mean cross-entropy of its own batch, and nothing that was in
    .grad before. The model is in training mode during all steps, whatever its mode was.

    Args:
        model: `BertClassifier` or another that turns ids and mask into logits.
        batches: one or more, as `collate_reviews` makes them, not necessarily of equal size. Not
            modified.
        optimizer: of the model's parameters.

    Returns:
        The mean cross-entropy over all examples of the epoch, as computed for the steps, that is,
        before each step.
    """
    ### BEGIN SOLUTION
    model.train()
    total, count = 0.0, 0
    for batch in batches:
        logits = model(batch["input_ids"], batch["attention_mask"])
        loss = F.cross_entropy(logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(logits)
        count += len(logits)
    return total / count
    ### END SOLUTION


def predict_reviews(
    model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader
) -> torch.Tensor:
    """For each example, the class with the largest logit.

    Runs the model in evaluation mode and does not record gradients. Afterwards the model is in the
    mode (`model.training`) in which it came.

    Args:
        model: `BertClassifier` or another that turns ids and mask into logits.
        batches: one or more, as `collate_reviews` makes them, but "labels" may be missing. Not
            modified.

    Returns:
        The classes, (n,), int64, of all n examples in all batches, in order.
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = [model(batch["input_ids"], batch["attention_mask"]) for batch in batches]
    model.train(was_training)
    return torch.cat(logits).argmax(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_bert_classifier", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)

LIBRARY_SHORTCUTS = (
    "transformers.models.bert.modeling_bert.BertForSequenceClassification.forward",
    "transformers.modeling_utils.PreTrainedModel.from_pretrained",
)


def small_config(**changes):
    return BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, **changes,
    )  # fmt: skip


class WordCounts(nn.Module):
    """A model whose logits are linear in the counts of the words that the mask admits; it notes how it is called."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.calls = []

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        self.calls.append((self.training, torch.is_grad_enabled()))
        words = F.one_hot(input_ids, len(self.weight)) * attention_mask[..., None]
        return words.sum(1).to(self.weight.dtype) @ self.weight


def random_batch(n, n_words=10, n_classes=4):
    """n sentences of 3 to 7 words with at least one [PAD], and n labels."""
    mask = (torch.arange(8) < torch.randint(3, 8, (n, 1))).long()
    return {"input_ids": torch.randint(1, n_words, (n, 8)) * mask, "attention_mask": mask, "labels": torch.randint(0, n_classes, (n,))}


def by_hand(weight, batches, rate=0.0, momentum=0.0):
    """One step of gradient descent with momentum per batch on `WordCounts`, in closed form.

    Returns:
        The weights after the last step, and each example's cross-entropy before its step.
    """
    weight, velocity, losses = weight.double().numpy(), 0.0, []
    for batch in batches:
        ids, mask, labels = (batch[key].numpy() for key in ("input_ids", "attention_mask", "labels"))
        counts = np.stack([np.bincount(row[kept == 1], minlength=len(weight)) for row, kept in zip(ids, mask, strict=True)])
        logits = counts @ weight
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        losses += [-math.log(row[label]) for row, label in zip(shares, labels, strict=True)]
        velocity = momentum * velocity + counts.T @ (shares - np.eye(weight.shape[1])[labels]) / len(labels)
        weight = weight - rate * velocity
    return weight, losses


def copied(batches):
    return [{key: value.clone() for key, value in batch.items()} for batch in batches]


def unchanged(batches, after):
    """Whether the batches still hold what they held."""
    return all(some.keys() == others.keys() and all(torch.equal(some[key], others[key]) for key in some) for some, others in zip(batches, after, strict=True))


@check(points=1, hint="Fill up with zeros on the right, up to the longest sentence of this batch; the mask is 1 where there is a token.")
def collates_unequal_sentences():
    """A batch is filled up on the right with 0, and its mask marks the tokens."""
    for examples in ([([1, 9, 4, 2], 1), ([1, 2], 0), ([1, 5, 7, 3, 6, 2], 1)], [([1, 8, 2], 3)]):
        def run(examples):
            examples = [(list(ids), label) for ids, label in examples]
            batch = collate_reviews(examples)
            return dict(batch), [ids for ids, _ in examples]

        batch, after = probe(run, examples)
        rows = [torch.tensor(ids) for ids, _ in examples]
        truth = {
            "input_ids": nn.utils.rnn.pad_sequence(rows, batch_first=True),
            "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
            "labels": torch.tensor([example[1] for example in examples]),
        }
        for key, right in truth.items():
            assert key in batch, f'the batch has no "{key}"'
            assert isinstance(batch[key], torch.Tensor), f'"{key}" is a {type(batch[key]).__name__}, not a torch tensor'
            assert batch[key].dtype == torch.int64, f'"{key}" is of type {batch[key].dtype} instead of int64'
            assert batch[key].tolist() == right.tolist(), f'"{key}" of {examples} is {batch[key].tolist()}'
        assert after == [ids for ids, _ in examples], "the lists of token ids that were passed in have changed"


@check(points=1, hint="Take pooler_output from what the encoder returns. The attributes are called bert and classifier.")
def gives_one_row_of_logits_per_sentence():
    """The model maps ids and mask to (batch, num_labels) numbers; its parameters are those of `bert` and `classifier`."""
    def run():
        with forbidden(*LIBRARY_SHORTCUTS):
            model = BertClassifier(small_config(num_labels=3)).eval()
            ids = torch.tensor([[1, 5, 2, 0], [1, 6, 7, 2]])
            logits = model(ids, (ids != 0).long())
        return logits.detach(), {name: list(parameter.shape) for name, parameter in model.named_parameters()}

    logits, names = probe(run)
    assert logits.shape == (2, 3), f"logits of shape {tuple(logits.shape)} for 2 sentences and num_labels=3"
    truth = {name: list(parameter.shape) for name, parameter in BertForSequenceClassification(small_config(num_labels=3)).named_parameters()}
    missing, extra = truth.keys() - names.keys(), names.keys() - truth.keys()
    assert not missing, f"{len(missing)} parameters are missing, for instance {min(missing)}"
    assert not extra, f"{len(extra)} parameters are too many, for instance {min(extra)}"
    assert names == truth, f"{[name for name in truth if names[name] != truth[name]]} have the wrong shape"


@check(points=1, hint="Cross-entropy of the logits, without a softmax in front; the second batch has fewer examples than the first.")
def reports_the_mean_loss():
    """Where nothing is learnt, the number returned is the mean cross-entropy over all examples."""
    weight, batches = torch.randn(10, 4), [random_batch(5), random_batch(1)]

    def run(weight, batches):
        model = WordCounts(weight)
        return float(train_bert_epoch(model, batches, torch.optim.SGD(model.parameters(), lr=0.0)))

    loss, (_, losses) = probe(run, weight, copied(batches)), by_hand(weight, batches)
    means = np.mean(losses[:5]), losses[5]
    assert math.isclose(loss, np.mean(losses), rel_tol=1e-4), (
        f"the mean over 6 examples is {np.mean(losses):.4f}, returned was {loss:.4f}; (a batch of 5 has mean {means[0]:.4f}, one of 1 has {means[1]:.4f})"
    )


### BEGIN HIDDEN TESTS
def library_model(**changes):
    """The library's own classifier, with weights as large as those of a trained model."""
    model = BertForSequenceClassification(small_config(**changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float("LayerNorm.weight" in name), 0.3)
    return model


def classify(state, changes, *inputs):
    """The student's logits with these weights, in evaluation mode; one result for each tuple of inputs."""
    def run(state, changes, inputs):
        with forbidden(*LIBRARY_SHORTCUTS), torch.no_grad():
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            model.eval()
            return [model(*tensors) for tensors in inputs]

    return probe(run, state, changes, list(inputs))


def is_near(answer, truth, tolerance=1e-5):
    return answer.shape == truth.shape and torch.allclose(answer.double(), truth.double(), rtol=tolerance, atol=tolerance)


def random_ids(n, length):
    ids = torch.randint(3, 12, (n, length))
    ids[:, 0] = 1
    return ids


@check(points=1, hint="Encoder, pooler_output (of the first token), dropout, linear layer; no softmax and no other activation.")
def agrees_with_the_library():
    """With the same weights, the logits of sentences of one length are those of BertForSequenceClassification."""
    for n_classes, n, length in [(2, 5, 7), (5, 3, 4), (3, 1, 9)]:
        library, ids = library_model(num_labels=n_classes), random_ids(n, length)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            truth = library(ids, attention_mask=mask).logits
        (logits,) = classify(library.state_dict(), dict(num_labels=n_classes), (ids, mask))
        if logits.shape != truth.shape:
            fail(f"For {n} sentences and {n_classes} classes, the logits have shape {tuple(logits.shape)}.")
        if is_near(logits, truth.softmax(-1)):
            fail("The outputs are probabilities: the model should end in logits, without a softmax.")
        if not is_near(logits, truth):
            fail("In evaluation mode, with the same weights, the logits are not those of the library's classifier.")


@check(points=1, hint="Pass the attention mask on to the encoder, by name. It alone decides, whatever ids there are below its zeros.")
def ignores_the_padding():
    """A sentence has the same logits alone and in a batch with longer ones, whatever the padding consists of."""
    library = library_model()
    lengths, longest = [4, 9, 6], 12
    sentences = [random_ids(1, length) for length in lengths]
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    padded = torch.cat([F.pad(ids, (0, longest - ids.shape[1])) for ids in sentences])
    noise = torch.where(mask == 1, padded, torch.randint(3, 12, padded.shape))
    *alone, with_zeros, with_noise = classify(
        library.state_dict(), {}, *[(ids, torch.ones_like(ids)) for ids in sentences], (padded, mask), (noise, mask)
    )
    if not is_near(with_zeros, torch.cat(alone), 1e-4):
        fail("Logits depend on how much padding there is: the mask does not reach the encoder, or not as it should.")
    if not is_near(with_noise, torch.cat(alone), 1e-4):
        fail("Logits depend on the ids at places that the mask forbids: use the mask that is passed in, not one made from the ids.")


@check(points=1, hint="Are token_type_ids passed on, and under their own name? Their order in BertModel.forward is not the tokenizer's.")
def passes_token_types_on():
    """Types reach the encoder as types: exchanging both types' embeddings undoes exchanging 0 and 1; None means all 0."""
    library, ids = library_model(), random_ids(4, 8)
    types = (torch.arange(8) >= torch.tensor([[3], [4], [5], [6]])).long()
    mask, state = torch.ones_like(ids), library.state_dict()
    name = "bert.embeddings.token_type_embeddings.weight"
    swapped = {**state, name: state[name].flip(0)}
    usual, zeros, none = classify(state, {}, (ids, mask, types), (ids, mask, torch.zeros_like(ids)), (ids, mask))
    exchanged, ones = classify(swapped, {}, (ids, mask, 1 - types), (ids, mask, torch.ones_like(ids)))
    if is_near(usual, none, 1e-3):
        fail("The logits do not depend on token_type_ids.")
    if not (is_near(zeros, none) and is_near(ones, none)):
        fail("Without token_type_ids, the logits are not those of types that are all 0.")
    if not is_near(usual, exchanged):
        fail("The types are not used as types: were they exchanged with the mask?")


@check(points=1, hint="nn.Dropout(config.hidden_dropout_prob) between the pooled output and the classifier; it follows the model's mode.")
def drops_out_while_training():
    """In training mode, the classifier sees the pooled output with the configured share of zeros; in evaluation mode, all of it."""
    share, changes = 0.3, dict(num_labels=16, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.05)
    state = library_model(**changes).state_dict()
    state["classifier.weight"] = torch.linalg.qr(torch.randn(16, 16)).Q  # orthogonal, so that it can be undone
    ids = random_ids(8, 6)

    def run(state, changes, ids):
        mask = torch.ones_like(ids)
        with forbidden(*LIBRARY_SHORTCUTS), torch.no_grad():
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            model.train()
            model.bert.eval()  # so that no other dropout is at work
            pooled = model.bert(ids, attention_mask=mask).pooler_output
            noisy = torch.stack([model(ids, mask) for _ in range(20)])
            model.eval()
            return pooled, noisy, torch.stack([model(ids, mask) for _ in range(2)])

    pooled, noisy, calm = probe(run, state, changes, ids)
    seen, seen_calm = ((logits - state["classifier.bias"]) @ state["classifier.weight"] for logits in (noisy, calm))
    if not is_near(seen_calm, pooled.expand_as(seen_calm), 1e-4):
        fail("In evaluation mode, the classifier does not see exactly the pooled output: is dropout still at work?")
    clear = pooled.abs().expand_as(seen) > 0.02
    dropped, kept = seen.abs() < 1e-4, (seen - pooled / (1 - share)).abs() < 1e-4
    if not (dropped | kept)[clear].all():
        fail("In training mode, the classifier's inputs are not those of the pooled output that were kept, divided by the probability of keeping them, and zeros.")
    found = dropped[clear].double().mean().item()
    if abs(found - share) > 5 * math.sqrt(share * (1 - share) / clear.sum().item()):
        fail(f"{found:.0%} of the pooled output were dropped in training mode; hidden_dropout_prob says otherwise.")


@check(points=1, hint="For each batch: zero_grad, forward, loss, backward, step, in this order, with the model in training mode.")
def takes_one_step_per_batch():
    """Each batch moves the weights once, in order, along its own gradient; the model is in training mode."""
    weight, batches = torch.randn(10, 4), [random_batch(n) for n in (4, 2, 5, 1)]

    def run(weight, batches, stale):
        model = WordCounts(weight).eval()
        if stale:
            model.weight.grad = torch.ones_like(weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
        train_bert_epoch(model, batches, optimizer)
        return model.weight.detach(), model.calls, batches

    after, calls, _ = probe(run, weight, copied(batches[:1]), False)
    if not all(training for training, _ in calls):
        fail("The model is not in training mode: the function has to switch it on, whatever the mode was.")
    if not is_near(after, torch.tensor(by_hand(weight, batches[:1], 0.2)[0]), 1e-4):
        fail("Even one step on one batch does not follow the gradient of the mean cross-entropy of its logits.")
    after, calls, kept = probe(run, weight, copied(batches), False)
    if not unchanged(batches, kept):
        fail("The batches that were passed in have changed: a second epoch would not find them as they were.")
    if not is_near(after, torch.tensor(by_hand(weight, batches, 0.2, 0.5)[0]), 1e-4):
        fail("One step is right, several are not: is each step taken along the gradient of its own batch alone, once, and in the order given?")
    after, _, _ = probe(run, weight, copied(batches), True)
    if not is_near(after, torch.tensor(by_hand(weight, batches, 0.2, 0.5)[0]), 1e-4):
        fail("A gradient that was there before the call takes part in the first step.")


@check(points=1, hint="Gradients have to reach the whole encoder, so no no_grad or detach on the way; the mask counts in training, too.")
def trains_the_encoder_like_the_library():
    """Two steps change all parameters, those of the encoder included, as they do in the library's classifier."""
    changes = dict(num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    library, batches = library_model(**changes).train(), [random_batch(4, 12, 3), random_batch(4, 12, 3)]
    state = {name: value.clone() for name, value in library.state_dict().items()}

    def run(state, changes, batches):
        with forbidden(*LIBRARY_SHORTCUTS):
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            loss = train_bert_epoch(model, batches, torch.optim.SGD(model.parameters(), lr=0.1))
        return {name: parameter.detach() for name, parameter in model.named_parameters()}, float(loss)

    after, loss = probe(run, state, changes, copied(batches))
    optimizer, losses = torch.optim.SGD(library.parameters(), lr=0.1), []
    for batch in batches:
        optimizer.zero_grad()
        losses.append(library(**batch).loss)
        losses[-1].backward()
        optimizer.step()
    if all(torch.equal(after[name], state[name]) for name in state if name.startswith("bert.")):
        fail("Only the classifier learns: the encoder's weights are what they were.")
    for name, parameter in library.named_parameters():
        if not is_near(after[name], parameter.detach(), 1e-4):
            fail(f"After two steps, {name} is not what it is in the library's classifier.")
    if not math.isclose(loss, sum(value.item() for value in losses) / 2, rel_tol=1e-4):
        fail("The loss returned is not that of the logits from which the steps were computed.")


@check(points=1, hint="Remember model.training, call eval(), predict under no_grad, set the mode back. Collect all batches, in order.")
def predicts_without_traces():
    """The class with the largest logit, in evaluation mode, without gradients; afterwards the mode is what it was."""
    weight, batches = torch.randn(10, 4), [random_batch(n) for n in (4, 1, 3)]
    for training, labelled in [(True, True), (False, False)]:
        given = [{key: value for key, value in batch.items() if labelled or key != "labels"} for batch in batches]

        def run(weight, batches, training):
            model = WordCounts(weight).train(training)
            classes = predict_reviews(model, batches)
            return torch.as_tensor(classes), model.calls, model.training, batches, model.weight.detach()

        classes, calls, mode, kept, after = probe(run, weight, copied(given), training)
        truth = torch.cat([WordCounts(weight)(batch["input_ids"], batch["attention_mask"]) for batch in batches]).argmax(1)
        if classes.shape != truth.shape:
            fail(f"The classes of 8 sentences in 3 batches have shape {tuple(classes.shape)}.")
        if not torch.equal(classes.long(), truth):
            fail("The predictions are not the classes with the largest logit, in the order of the examples.")
        if any(seen for seen, _ in calls):
            fail("The model predicts in training mode, where dropout makes the result random.")
        if any(recorded for _, recorded in calls):
            fail("Gradients are recorded while the model predicts: eval() does not stop that.")
        if mode != training:
            fail(f"The model came in {'training' if training else 'evaluation'} mode and leaves in the other one.")
        if not (unchanged(given, kept) and torch.equal(weight, after)):
            fail("The batches or the model's weights have changed.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn to negate?
#
# Your functions at three learning rates. The three models start from the same weights and see the same batches.

# %% tags=["demo", "raises-exception"]
def test_share(model):
    """Share of the test reviews that the model gets right."""
    return float(np.mean(predict_reviews(model, [collate_reviews(test_reviews)]).numpy() == review_labels(test_reviews)))


threads = torch.get_num_threads()
torch.set_num_threads(1)  # for matrices as small as these, more threads cost more than they save
curves, reviewers = {}, {}
for rate in (1e-4, 1e-3, 2e-2):
    torch.manual_seed(0)
    reviewer = BertClassifier(tiny_bert_config())
    optimizer = torch.optim.AdamW(reviewer.parameters(), lr=rate)
    loader = DataLoader(training_reviews, batch_size=48, shuffle=True, collate_fn=collate_reviews)
    reviewers[rate], curves[rate] = reviewer, [test_share(reviewer)]
    for _ in range(9):
        train_bert_epoch(reviewer, loader, optimizer)
        curves[rate].append(test_share(reviewer))
torch.set_num_threads(threads)

fig, ax = plt.subplots(figsize=(6.4, 3))
for (rate, curve), marker in zip(curves.items(), "sov", strict=True):
    ax.plot(curve, marker + "-", ms=5, label=f"learning rate {rate:g}")
ax.axhline(baseline_share, color="black", ls=":", lw=1.2, label="logistic regression on word counts")
ax.set(xlabel="epoch", ylabel="share right", ylim=(0.35, 1.03), title="Test reviews judged rightly")
ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(0, 0.97))
plt.show()

# %% [markdown]
# Counting words cannot do better than a coin here: each word stands in as much praise as blame. So a score above one half comes
# from words read *together*. In the middle run the model guesses for several epochs, and then finds the rule at once. A rate ten times
# smaller has not got there after nine epochs, and one twenty times larger never leaves the coin's line. "It does not learn" is often a
# statement about the learning rate.
#
# What does the trained model look at? The mask is an instrument: hide one word at a time from the attention, and see how the answer moves.

# %% tags=["demo", "raises-exception"]
looked_at = [test_reviews[index][0] for index in (1, 7, 8)]
reviewer = reviewers[1e-3].eval()
fig, axes = plt.subplots(3, 1, figsize=(9.5, 3.1), sharex=True)
for ax, ids in zip(axes, looked_at, strict=True):
    n = len(ids)
    repeated = torch.tensor([ids] * (n - 1))
    hidden = torch.ones_like(repeated)
    for row in range(1, n - 1):
        hidden[row, row] = 0  # row 0 hides nothing, row i the word at place i
    with torch.no_grad():
        praise = reviewer(repeated, hidden).softmax(1)[:, 1]
    ax.imshow(praise[None], vmin=0, vmax=1, cmap="PuOr", alpha=0.6, aspect="auto")
    for place, value in enumerate(praise):
        word = REVIEW_WORDS[ids[place]] if place else "(nothing)"
        ax.text(place, 0, f"{word}\n{value:.2f}", ha="center", va="center", fontsize=8.5)
    ax.axvline(0.5, color="white", lw=6)
    ax.set(yticks=[], xticks=[], xlim=(-0.5, max(map(len, looked_at)) - 1.5))
    ax.spines[:].set_visible(False)
    ax.grid(False)
axes[0].set_title("Probability of praise when the mask hides one word")
plt.show()

# %% [markdown]
# Hiding "not" turns the answer over, hiding a word without meaning leaves it alone: the rule that the model found is the one that made the data. Now look at the
# adjectives. Without them, "not lovely" and "not dull" are the same input, so hiding the adjective *must* turn one of the two answers over and cannot
# turn the other. Nothing is left to judge there; such a sentence never occurred in training, and yet the model answers with a number close to 0 or 1.
# A confident number is no sign of knowledge. Chapter 8 takes up such explanations and their tests.

