# %% [markdown]
# ## 1.7 A BERT classifier, repaired
#
# Whoever *judges* a sentence has all of it already; a causal mask would hide half of it. **BERT** (Devlin et al., arXiv:1810.04805) is an
# **encoder**, pretrained by guessing masked tokens. For a new task, it gets one linear layer on top:
#
# $$(h_0, h_1, \dots) = \mathrm{encoder}(\texttt{[CLS]}, w_1, \dots, w_n, \texttt{[SEP]}), \quad
# p = \tanh(W_p h_0 + b_p), \quad z = W\,\mathrm{dropout}(p) + b .$$
#
# `[CLS]` stands for no word: its output collects what is found out about the sentence. $p$ is the **pooled output**; $z$ are logits.
#
# ### Two listings to diagnose
#
# Which line stops each? What would still be wrong if all lines ran?
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
# from transformers import BertForSequenceClassification, BertTokenizer    # listing B
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
# - `_, pooled = ...` unpacks **names**: the encoder returns a dictionary, so `pooled` is the text `"pooler_output"`, and the error comes a line later.
# - Nothing is trained.
# </details>
#
# <details><summary>Compare your list for B</summary>
#
# - `tf` is never imported, and a PyTorch model wants PyTorch labels.
# - Labels of shape `(1, 1)`: this model happens to flatten them; `F.cross_entropy` wants `(batch,)`.
# - The head is random: the file holds an encoder only. Loss and "class" mean nothing.
# - No `eval()`: it works by luck, because `from_pretrained` returns a model in evaluation mode.
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
# ### Padding, and why nobody notices a missing mask
#
# Short sentences of a batch are filled up with `[PAD]`. An **attention mask** marks tokens with 1 and padding
# with 0. Without it, a sentence's logits depend on its neighbours in the batch.
#
# **Predict first:** in a model whose weights are as small as at BERT's start (0.02), how far do the logits move if a sentence is padded to twice its length without a mask?

# %% tags=["demo"]
def padding_shift():
    """How far padding one sentence to twice its length moves its logits, for weights of growing size."""
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
    _, ax = plt.subplots(figsize=(6.4, 3))
    for (name, values), marker, color in zip(moved.items(), "os", ("C5", "C0"), strict=True):
        ax.plot(deviations, np.maximum(np.median(values, axis=0), 1e-9), marker + "-", ms=5, color=color, label=name)
    ax.axhline(1e-4, color="0.5", ls=":", lw=1)
    ax.text(0.01, 1.6e-4, "a tolerance of $10^{-4}$", fontsize=8.5, va="bottom", color="0.35")
    ax.axvline(0.02, color="0.8", lw=1)
    ax.text(0.0195, 2, "BERT's start", fontsize=8.5, ha="right", va="center", color="0.35")
    ax.set(xscale="log", yscale="log", ylim=(1e-9, 10), xlabel="standard deviation of the weights", ylabel="largest shift of a logit",
           title="Padding one sentence to twice its length (median of 3 models)")
    ax.set_xticks(deviations, labels=[f"{deviation:g}" for deviation in deviations])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=8.5)
    plt.show()


padding_shift()

# %% [markdown]
# With weights as small as at BERT's start, the outputs hardly depend on *anything*. A test with a tolerance of $10^{-4}$ may pass a model that ignores the mask. **Test with large weights**, like those of a trained model.
#
# ### Reviews that cannot be judged word by word
#
# Each frame, such as "the film was … to me", comes four times: with **good** and **not dull** (class 1), with **dull** and **not good** (class 0).
# A linear classifier adds up one weight for each word. Each word is equally frequent in both classes, so no weight helps, whatever the amount
# of data.

# %% [markdown]
# ### Exercise 1.7 · The BERT classifier, repaired
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **10 points** · PyTorch, Hugging Face Transformers
#
# **Given** are `tiny_bert_config()`, `training_reviews` (720) and `test_reviews` (240, from other frames): lists of pairs such as
# `(review_ids("the film was not bad"), 1)`.
#
# **Write** what the listings lack, from `BertModel` and `nn.Linear`; the hidden checks make `BertForSequenceClassification` and
# `from_pretrained` fail. `train_bert_epoch` and `predict_reviews` call `model(input_ids, attention_mask)`, by position or by
# name.
#
# <details><summary>Hint 1: three tensors for the encoder</summary>
#
# Tokenizers and `BertModel.forward` order them differently. Pass them by name.
# </details>
#
# <details><summary>Hint 2: batches of unequal size</summary>
#
# Multiply each batch's mean by its number of examples, add up, and divide once.
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
    .grad before. The model and all its parts are in training mode during all steps, whatever their
    mode was, and afterwards.

    Args:
        model: `BertClassifier` or another that turns ids and mask into logits.
        batches: one or more, as `collate_reviews` makes them, not necessarily of equal size. Not
            modified.
        optimizer: of the model's parameters.

    Returns:
        The mean cross-entropy over all examples of the epoch, as computed for the steps, that is,
        before each step: a number, not a tensor.
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

    Runs the model in evaluation mode, in its own precision, and does not record gradients.
    Afterwards the model is in the mode in which it came. (A part that was in another mode may be
    left in the model's.)

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
        self.inner = nn.Identity()
        self.calls = []

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        self.calls.append(({self.training, self.inner.training}, torch.is_grad_enabled()))
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
            return batch if batch is None else dict(batch), [ids for ids, _ in examples]

        batch, after = probe(run, examples)
        assert batch is not None, "collate_reviews returns None: is the return missing?"
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
        return torch.as_tensor([] if logits is None else logits).detach(), {name: list(parameter.shape) for name, parameter in model.named_parameters()}

    logits, names = probe(run)
    assert logits.numel(), "BertClassifier.forward returns None: is the return missing?"
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
        loss = train_bert_epoch(model, batches, torch.optim.SGD(model.parameters(), lr=0.0))
        return loss if loss is None or isinstance(loss, float) else str(type(loss))

    loss, (_, losses) = probe(run, weight, copied(batches)), by_hand(weight, batches)
    means = np.mean(losses[:5]), losses[5]
    assert loss is not None, "train_bert_epoch returns None: is the return missing?"
    assert not isinstance(loss, str), f"train_bert_epoch returns a {loss} instead of a number (.item() makes one)"
    assert math.isclose(loss, np.mean(losses), rel_tol=1e-4), (
        f"the mean over 6 examples is {np.mean(losses):.4f}, returned was {loss:.4f}; (a batch of 5 has mean {means[0]:.4f}, one of 1 has {means[1]:.4f})"
    )


@check(points=0.5, hint="argmax over the last axis of the logits, batch after batch, joined with torch.cat. It has type int64 already.")
def predicts_one_class_per_review():
    """The predictions are one int64 tensor with the class of each review, over all batches, in order."""
    weight = torch.randn(10, 4)
    batches = [{key: value for key, value in random_batch(n).items() if key != "labels"} for n in (4, 3)]
    truth = torch.cat([WordCounts(weight)(batch["input_ids"], batch["attention_mask"]) for batch in batches]).argmax(1)

    def run(weight, batches):
        classes = predict_reviews(WordCounts(weight), batches)
        return classes if isinstance(classes, torch.Tensor) else str(type(classes))

    classes = probe(run, weight, copied(batches))
    assert not isinstance(classes, str), f"predict_reviews returns a {classes} instead of a tensor"
    assert classes.dtype == torch.int64, f"predict_reviews returns {classes.dtype} instead of int64"
    assert classes.shape == (7,), f"predict_reviews returns shape {tuple(classes.shape)} for batches of 4 and 3 reviews, instead of (7,)"
    assert classes.tolist() == truth.tolist(), f"the largest logits are those of {truth.tolist()}, predicted was {classes.tolist()}"


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
    ids, mask = random_ids(2, 8), torch.ones(2, 8, dtype=torch.int64)
    ids[:, 3:5] = 0
    with torch.no_grad():
        truth = library(ids, attention_mask=mask).logits
    if not is_near(classify(library.state_dict(), {}, (ids, mask))[0], truth, 1e-4):
        fail("An id of 0 is hidden although the mask admits it: the mask alone decides.")


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
        model = WordCounts(weight).train(stale)
        if stale:
            model.weight.grad = torch.ones_like(weight)
            model.inner.eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
        train_bert_epoch(model, batches, optimizer)
        return model.weight.detach(), [*(modes for modes, _ in model.calls), {model.training, model.inner.training}], batches

    after, modes, _ = probe(run, weight, copied(batches[:1]), False)
    if any(False in each for each in modes):
        fail("The model is not in training mode: the function has to switch it on, whatever the mode was.")
    if not is_near(after, torch.tensor(by_hand(weight, batches[:1], 0.2)[0]), 1e-4):
        fail("Even one step on one batch does not follow the gradient of the mean cross-entropy of its logits.")
    after, _, kept = probe(run, weight, copied(batches), False)
    if not unchanged(batches, kept):
        fail("The batches that were passed in have changed: a second epoch would not find them as they were.")
    if not is_near(after, torch.tensor(by_hand(weight, batches, 0.2, 0.5)[0]), 1e-4):
        fail("One step is right, several are not: is each step taken along the gradient of its own batch alone, once, and in the order given?")
    after, modes, _ = probe(run, weight, copied(batches), True)
    if any(False in each for each in modes):
        fail("A part of the model that was in evaluation mode stays in it.")
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
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            loss = train_bert_epoch(model, batches, optimizer)
            after = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
            with torch.no_grad():  # now class 0 is certain
                model.classifier.weight.zero_()
                model.classifier.bias.copy_(torch.tensor([20.0, 0.0, 0.0]))
            again = train_bert_epoch(model, [{**batches[0], "labels": torch.zeros(4, dtype=torch.int64)}], optimizer)
        return after, float(loss), float(again)

    after, loss, again = probe(run, state, changes, copied(batches))
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
    if abs(again) > 1e-3:
        fail("A second call does not return the loss of its own epoch.")


@check(points=0.5, hint="Remember model.training, call eval(), predict under no_grad, set the mode back. Collect all batches, in order.")
def predicts_without_traces():
    """The class with the largest logit, in evaluation mode, without gradients; afterwards the mode is what it was."""
    batches = [random_batch(n) for n in (4, 1, 3)]
    close = torch.tensor([1, 1.0001, 1.0003, 1.0002]).expand(10, 4)  # class 2, unless the logits are rounded to 16 bits
    for training, labelled, weight in [(True, True, torch.randn(10, 4)), (False, False, torch.randn(10, 4)), (False, True, close)]:
        given = [{key: value for key, value in batch.items() if labelled or key != "labels"} for batch in batches]

        def run(weight, batches, training):
            model = WordCounts(weight).train(training)
            classes = predict_reviews(model, batches)
            return classes, model.calls, {model.training, model.inner.training}, batches, model.weight.detach()

        classes, calls, mode, kept, after = probe(run, weight, copied(given), training)
        logits = [WordCounts(weight)(batch["input_ids"], batch["attention_mask"]) for batch in batches]
        truth = torch.cat(logits).argmax(1)
        if not isinstance(classes, torch.Tensor) or classes.dtype != torch.int64:
            fail("The predictions are not an int64 tensor.")
        if classes.shape != truth.shape:
            fail(f"The classes of 8 sentences in 3 batches have shape {tuple(classes.shape)}.")
        if not torch.equal(classes, truth):
            fail("The predictions are not the classes with the largest logit, in the order of the examples.")
        if any(True in modes for modes, _ in calls):
            fail("The model predicts in training mode, where dropout makes the result random.")
        if any(recorded for _, recorded in calls):
            fail("Gradients are recorded while the model predicts: eval() does not stop that.")
        if mode != {training}:
            fail(f"The model came in {'training' if training else 'evaluation'} mode and leaves in the other one.")
        if not (unchanged(given, kept) and torch.equal(weight, after)):
            fail("The batches or the model's weights have changed.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn to negate?
#
# Your functions, at three learning rates. Then the mask hides one word at a time from the best model.

# %% tags=["demo"]
def learn_to_negate(rates, epochs=9, seed=0):
    """Trains one model for each learning rate; draws their curves, and what the best one makes of hidden words."""
    from sklearn.linear_model import LogisticRegression

    labels = {part: np.array([label for _, label in examples]) for part, examples in [("train", training_reviews), ("test", test_reviews)]}
    counts = lambda examples: np.array([np.bincount(ids, minlength=len(REVIEW_WORDS)) for ids, _ in examples])
    words_alone = LogisticRegression().fit(counts(training_reviews), labels["train"]).score(counts(test_reviews), labels["test"])
    share = lambda model: float(np.mean(predict_reviews(model, [collate_reviews(test_reviews)]).numpy() == labels["test"]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for matrices as small as these, more threads cost more than they save
    curves, models = {}, {}
    try:
        for rate in rates:
            torch.manual_seed(seed)
            model = BertClassifier(tiny_bert_config())
            optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
            loader = DataLoader(training_reviews, batch_size=48, shuffle=True, collate_fn=collate_reviews)
            models[rate], curves[rate] = model, [share(model)]
            for _ in range(epochs):
                train_bert_epoch(model, loader, optimizer)
                curves[rate].append(share(model))
    except NotImplementedError:
        print("These figures are made by your four answers. Write them first.")
        return
    finally:
        torch.set_num_threads(threads)
    _, ax = plt.subplots(figsize=(6.4, 3))
    for (rate, curve), marker in zip(curves.items(), "sov", strict=False):
        ax.plot(curve, marker + "-", ms=5, label=f"learning rate {rate:g}")
    ax.axhline(words_alone, color="black", ls=":", lw=1.2, label="logistic regression\non word counts")
    ax.set(xlabel="epoch", ylabel="share correct", ylim=(0.35, 1.03), title="Test reviews judged correctly")
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()
    best = models[max(curves, key=lambda rate: curves[rate][-1])].eval()
    looked_at = [test_reviews[index][0] for index in (1, 7, 8)]
    _, axes = plt.subplots(3, 1, figsize=(9.5, 3.1), sharex=True)
    for ax, ids in zip(axes, looked_at, strict=True):
        repeated = torch.tensor([ids] * (len(ids) - 1))
        hidden = torch.ones_like(repeated)
        for row in range(1, len(ids) - 1):
            hidden[row, row] = 0  # row 0 hides nothing, row i the word at place i
        with torch.no_grad():
            praise = best(repeated, hidden).softmax(1)[:, 1]
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


learn_to_negate(rates=(1e-4, 1e-3, 2e-2))

# %% [markdown]
# At one of the rates the model finds the rule, after some epochs of guessing. "It does not learn" often means: not at this learning rate.
#
# Hiding "not" turns the answer over. Now look at the adjectives: without them nothing is left to
# judge, such a sentence never occurred in training, and still the model answers with a number close to 0 or 1.
# **A confident number is no sign of knowledge** (6.3).
#
# **Your turn.** Set the rates in the last line to `(3e-4,)`. Will the model find the rule within nine epochs? Decide, then run it.
#
# <details><summary>Answer</summary>
#
# It has begun to: with four seeds, between 0.59 and 0.80 of the reviews are judged correctly. With `epochs=30` it finds the rule.
# </details>
