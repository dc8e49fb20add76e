# %% [markdown]
# ## 6.6 Numbers for language models
#
# A model writes ten programs for a task, and three of them are right. **Predict:** how likely is at least one right program in five tries? Not $1 - 0.7^5 = 83\,\%$: of all ways to choose five of these ten, 92 % contain a right one.
#
# ### Perplexity
#
# The **perplexity** of a text of tokens $x_0, \dots, x_n$ is
#
# $$\exp\Big(-\frac1n \sum_{t=1}^{n} \ln p(x_t \mid \text{the tokens before it})\Big) .$$
#
# A model that always hesitates between ten equally likely tokens has a perplexity of 10. The mean is over all *tokens*, not over batches; `exp` comes last; padding is no token.
#
# A long text is cut into windows. With a **stride** shorter than the window, tokens have more context (Hugging Face, *Perplexity of fixed-length models*). But each token is scored **once**, by the first window that predicts it:

# %% tags=["demo"]
def draw_windows(n_tokens=15, window=6, stride=3):
    _, ax = plt.subplots(figsize=(8.5, 3.1))
    begins, scored = [], 1
    while scored < n_tokens:
        begin = len(begins) * stride
        end = min(begin + window, n_tokens - 1)
        y = len(begins)
        for token in range(begin, end):
            ax.add_patch(plt.Rectangle((token - 0.45, y - 0.38), 0.9, 0.36, facecolor="0.85", edgecolor="0.6"))
        for token in range(scored, end + 1):
            ax.add_patch(plt.Rectangle((token - 0.45, y + 0.02), 0.9, 0.36, facecolor="C0", edgecolor="white"))
        begins.append(begin)
        scored = end + 1
    ax.add_patch(plt.Rectangle((0, -9), 1, 1, facecolor="0.85", edgecolor="0.6", label="read"))
    ax.add_patch(plt.Rectangle((0, -9), 1, 1, facecolor="C0", label="scored"))
    ax.set(xlim=(-0.7, n_tokens - 0.3), ylim=(len(begins) - 0.4, -0.6), xlabel="token", title=f"{n_tokens} tokens, window {window}, stride {stride}")
    ax.set_xticks(range(n_tokens))
    ax.set_yticks(range(len(begins)), labels=[f"window {i + 1}" for i in range(len(begins))])
    ax.grid(visible=False)
    ax.legend(loc="lower left", fontsize=9)
    plt.show()


draw_windows()

# %% [markdown]
# ### Bits per byte
#
# What all tokenizers share is the text. Add up the losses of all its tokens, in bits, and divide by its length in bytes of UTF-8 (section 6.9).
#
# ### pass@k
#
# Is one of $k$ programs right? For each task, draw $n \ge k$ programs and count the $c$ right ones. Of the $\binom nk$ ways to choose $k$ of them, $\binom{n-c}{k}$ contain no right one:
#
# $$\text{pass@}k = 1 - \binom{n-c}{k} \Big/ \binom nk, \qquad \text{then the mean over the tasks}$$
#
# (Chen et al., arXiv:2107.03374). Like the *best of k* of section 5.7 it is free of bias. $1 - (1 - c/n)^k$ draws *with* replacement, and is too low on average.
#
# ### Multiple choice
#
# Take the answer with the highest log-likelihood $\ln p(\text{answer} \mid \text{question})$. But each further token makes this *sum* smaller, so long answers lose. Some divide it by the number of tokens, others by the bytes of the answer.
#
# ### Exercise 6.6 · Numbers for language models
#
# > **Difficulty** ★★☆☆ · **60 minutes** · **11 points** · PyTorch
#
# **Write** four functions. Arguments are not to be modified.
#
# <details><summary>Hint 1: which tokens of a window count</summary>
#
# Remember how far the text is scored. A window that reads the tokens from `begin` to `end - 1` predicts those from `begin + 1` to `end`. Of these, count the ones that are new.
# </details>
#
# <details><summary>Hint 2: binomials of 100,000</summary>
#
# $\binom{n-c}{k} / \binom nk = \prod_{i=n-c+1}^{n} (1 - k/i)$, which contains the factor 0 if $k > n - c$.
# </details>
#
# <details><summary>Hint 3: the log-likelihood of an answer</summary>
#
# Give the model the prompt and the answer, one after the other. The logits that predict the answer's first token stand at the *last* token of the prompt.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_language_metrics", "locked": true, "schema_version": 3, "solution": false, "task": false}
def make_tokenizer(text: str, vocabulary: int):
    """A tokenizer of section 1.1's kind: byte pair encoding, learnt from the text by the library `tokenizers`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from autograder import gpt

    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(gpt.PIECES), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    all_bytes = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=all_bytes, show_progress=False))
    return tokenizer


class Bigrams(torch.nn.Module):
    """A language model that knows which token follows which: it counts pairs.

    After token a, the shares of its T different successors in the training text count as N(a) / (N(a) + T); the rest,
    T / (N(a) + T), is left to the shares of all tokens, whatever stands before (Witten and Bell, 1991).

    Args:
        ids: the training text.
        vocabulary: number of different tokens, V.
    """

    def __init__(self, ids: list[int], vocabulary: int):
        super().__init__()
        tokens = torch.tensor(ids)
        pairs = torch.bincount(tokens[:-1] * vocabulary + tokens[1:], minlength=vocabulary**2).view(vocabulary, vocabulary)
        alone = (torch.bincount(tokens, minlength=vocabulary) + 1) / (len(tokens) + vocabulary)
        successors = (pairs > 0).sum(1, keepdim=True).clamp(min=1)
        self.logits = ((pairs + successors * alone) / (pairs.sum(1, keepdim=True) + successors)).log()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) ids to (B, T, V) logits for the token after each."""
        return self.logits[ids]


# %% nbgrader={"grade": false, "grade_id": "language_metrics", "locked": false, "schema_version": 3, "solution": true, "task": false}
def perplexity(model: torch.nn.Module, ids: torch.Tensor, lengths: list[int], window: int, stride: int) -> float:
    """Perplexity per token of a causal model: exp of the mean loss, in nats, of all scored tokens of all texts.

    A text's windows begin at its tokens 0, stride, 2 · stride, and so on. A window reads up to `window`
    tokens, fewer where the text ends, and predicts the token after each of them. Each token of a text
    except its first, which is given, is scored once: in the first window that predicts it. Texts are
    independent of each other: no window reads from two of them.

    Args:
        model: from (B, T) ids to (B, T, V) logits for the token after each, for any B; With
            T = 0, or more than `window`, it raises an error. It is called in evaluation mode, and without recording gradients;
            afterwards it is in the mode in which it came.
        ids: (N, L), int64.
        lengths: N numbers from 0 to L. Text i is the first lengths[i] ids of row i. The rest of the row is
            padding; its ids are valid, and may occur in texts, too.
        window, stride: in tokens.

    Raises:
        ValueError: stride is not from 1 to `window`, even if no token would be left out, or no token is scored.

    >>> perplexity(model, torch.tensor([[5, 3, 8, 8, 1], [4, 4, 0, 0, 0]]), [5, 2], window=3, stride=2)  # scores 4 + 1 tokens
    """
    ### BEGIN SOLUTION
    if not 1 <= stride <= window:
        raise ValueError(f"a stride of {stride} is not from 1 to {window}")
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row, length in zip(ids, lengths, strict=True):
            scored = 0
            for begin in range(0, length - 1, stride):
                end = min(begin + window, length - 1)
                if scored < end:
                    logits = model(row[None, begin:end])[0, scored - begin :]
                    total += F.cross_entropy(logits, row[scored + 1 : end + 1], reduction="sum").item()
                    count += end - scored
                    scored = end
    model.train(was_training)
    if count == 0:
        raise ValueError("no text has a second token")
    return math.exp(total / count)
    ### END SOLUTION


def bits_per_byte(losses: list, texts: list[str]) -> float:
    """How many bits a model needs for a byte of several texts: all bits, divided by all bytes in UTF-8.

    Args:
        losses: for each text a list, array or tensor of numbers: the losses of all its tokens, in nats.
        texts: as many. One may be empty, without losses.

    Raises:
        ValueError: there is not a single byte.

    >>> round(bits_per_byte([[1.0, 2.0], [3.0]], ["a b", "é"]), 4)  # 6 nats for 5 bytes
    1.7312
    """
    ### BEGIN SOLUTION
    n_bytes = sum(len(text.encode()) for text in texts)
    if n_bytes == 0:
        raise ValueError("there is no text")
    return float(sum(float(loss) for text_losses in losses for loss in text_losses) / math.log(2) / n_bytes)
    ### END SOLUTION


def pass_at_k(n: list[int], c: list[int], k: int) -> float:
    """The probability that at least one of k attempts at a task is right: the mean over the tasks, without bias.

    Args:
        n: for each task, how many attempts were made, from 1 to 100,000.
        c: for each task, how many of them were right, from 0 to n.
        k: how many attempts one may hand in; one that is right is enough.

    Returns:
        The mean of 1 - C(n - c, k) / C(n, k), each task counting the same; its error is at most 1e-7.

    Raises:
        ValueError: k is less than 1, or more than the attempts made at some task.

    >>> round(pass_at_k([10], [3], 5), 4)
    0.9167
    """
    ### BEGIN SOLUTION
    if not 1 <= k <= min(n):
        raise ValueError(f"k is {k}, not from 1 to {min(n)}")

    def none_right(n, c):
        return np.prod(1 - k / np.arange(n - c + 1, n + 1))  # with fewer than k wrong attempts, a factor is 0

    return float(np.mean([1 - none_right(*task) for task in zip(n, c, strict=True)]))
    ### END SOLUTION


def choose_answer(model: torch.nn.Module, prompt: list[int], answers: list[list[int]], texts: list[str], by: str) -> int:
    """Which answer a model chooses: the one with the highest log-likelihood after the prompt, maybe per token or per byte.

    The log-likelihood is the sum, over the tokens of the answer, of ln p(token | prompt and the answer's tokens before it).

    Args:
        model: as in perplexity, already in evaluation mode; prompt and answer together are not too long for it.
        prompt: the question's ids, at least one.
        answers: for each answer its ids, at least one.
        texts: the same answers, as strings.
        by: "sum" compares the log-likelihoods, "token" divides each by the number of the answer's tokens,
            "byte" by the number of bytes of its text in UTF-8.

    Returns:
        The index of the chosen answer; of equal ones, the earliest.

    Raises:
        ValueError: `by` is none of the three.

    >>> choose_answer(model, tokenizer.encode("2 + 2 ="), [tokenizer.encode(" 4"), tokenizer.encode(" five")], [" 4", " five"], "byte")
    """
    ### BEGIN SOLUTION
    lengths = {
        "sum": [1 for _ in answers],
        "token": [len(answer) for answer in answers],
        "byte": [len(text.encode()) for text in texts],
    }
    if by not in lengths:
        raise ValueError(f"by is {by!r}")
    scores = []
    with torch.no_grad():
        for answer, length in zip(answers, lengths[by], strict=True):
            logits = model(torch.tensor([[*prompt, *answer[:-1]]]))[0, len(prompt) - 1 :]
            scores.append(-F.cross_entropy(logits, torch.tensor(answer), reduction="sum").item() / length)
    return scores.index(max(scores))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_language_metrics", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


class UnigramModel(torch.nn.Module):
    """Predicts the same everywhere: tokens 0 to 3 with the probabilities 1/2, 1/4, 1/8 and 1/8."""

    def forward(self, ids):
        return (3 - math.log(2) * torch.tensor([1.0, 2.0, 3.0, 3.0])).expand(*ids.shape, 4)


@check(points=0.75, hint="exp(mean loss), where the mean is over all tokens that are scored: here 4 + 1. The first of each text is not scored, padding neither.")
def perplexity_by_hand():
    """Two texts whose five scored tokens cost 1, 2, 3, 3 and 2 bits have a perplexity of 2^(11/5), with any window."""
    ids, bits = torch.tensor([[3, 0, 1, 2, 3], [0, 1, 0, 0, 0]]), 11
    for window, stride in ((8, 8), (2, 2), (3, 1)):
        found = probe(lambda ids, window, stride: float(perplexity(UnigramModel(), ids, [5, 2], window, stride)), ids, window, stride)
        truth = 2 ** (bits / 5)
        assert abs(found - truth) < 1e-4, f"with window {window} and stride {stride}: {found:.4f} instead of {truth:.4f}"


@check(points=0.75, hint="Sum of all nats / ln 2 / number of all bytes. len(text) counts characters; é has two bytes.")
def bits_by_hand():
    """Six nats for "a b" and "é", five bytes together, are 1.7312 bits per byte."""
    found = bits_per_byte([[1.0, 2.0], [3.0]], ["a b", "é"])
    assert abs(found - 1.2 / math.log(2)) < 1e-9, f"{found:.4f} instead of {1.2 / math.log(2):.4f}"


@check(points=0.75, hint="Of the ten pairs of five programs, three pairs contain none of the two right ones. Mean over the tasks at the end.")
def pass_at_two_by_hand():
    """With 2 of 5 right, pass@2 is 0.7; with a task of 4 attempts and none right beside it, 0.35."""
    for n, c, truth in (([5], [2], 0.7), ([5, 4], [2, 0], 0.35), ([5], [4], 1.0)):
        found = pass_at_k(n, c, 2)
        assert abs(found - truth) < 1e-9, f"pass_at_k({n}, {c}, 2) is {found:.4f} instead of {truth}"


@check(points=0.75, hint="The answers cost 2, 3, 3 and 4 bits; they have 1, 3, 1 and 2 tokens, and 2, 3, 5 and 6 bytes.")
def chooses_by_hand():
    """Of four answers, the sum chooses the first, the mean per token the second, the mean per byte the third."""
    answers, texts = [[1], [0, 0, 0], [2], [1, 1]], ["of", "I a", "été", "abcde!"]
    for by, truth in (("sum", 0), ("token", 1), ("byte", 2)):
        found = probe(lambda answers, texts, by: int(choose_answer(UnigramModel().eval(), [3, 2], answers, texts, by)), answers, texts, by)
        assert found == truth, f'by "{by}", answer {found} is chosen instead of {truth}'


### BEGIN HIDDEN TESTS
import itertools
import statistics
from fractions import Fraction


class WindowModel(torch.nn.Module):
    """A causal model whose predictions depend on all it reads, and on where in the window it stands."""

    def __init__(self, seed, window, vocabulary=7, dropout=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.tokens, self.places = (torch.nn.Parameter(torch.randn(size, 12, generator=generator)) for size in (vocabulary, window))
        self.output = torch.nn.Parameter(torch.randn(12, vocabulary, generator=generator))
        self.dropout = torch.nn.Dropout(dropout)
        self.calls = []

    def forward(self, ids):
        length = ids.shape[1]
        if not 1 <= length <= len(self.places):
            raise ValueError(f"the model is called with {length} tokens; its window has {len(self.places)}")
        self.calls.append((self.training, torch.is_grad_enabled()))
        mean = self.tokens[ids].cumsum(1) / torch.arange(1, length + 1)[:, None].sqrt()
        return self.dropout(torch.tanh(mean + self.places[:length])) @ self.output


def loss_of(model, context, token):
    """The loss of one token after its context, in nats, in 64 bits."""
    with torch.no_grad():
        logits = model(torch.tensor([context]))[0, -1].double()
    return float(logits.logsumexp(0) - logits[token])


def true_perplexity(model, texts, window, stride):
    """Token by token: the first window that predicts token t is the first that begins at t - window or later."""
    losses = []
    for text in texts:
        for t in range(1, len(text)):
            begin = next(begin for begin in range(0, t, stride) if begin >= t - window)
            losses.append(loss_of(model, text[begin:t], text[t]))
    return math.exp(statistics.fmean(losses))


def perplexities(jobs):
    """For each job (seed of the model, window of the model, ids, lengths, window, stride) what `perplexity` returns, and the ids afterwards."""
    def run(jobs):
        return [(float(perplexity(WindowModel(seed, longest).eval(), ids, list(lengths), window, stride)), ids) for seed, longest, ids, lengths, window, stride in jobs]

    return probe(run, [(*job[:2], job[2].clone(), *job[3:]) for job in jobs])


def compare(jobs, what):
    """Compares with the truth, token by token."""
    for (seed, longest, ids, lengths, window, stride), (found, after) in zip(jobs, perplexities(jobs), strict=True):
        texts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        truth = true_perplexity(WindowModel(seed, longest).eval(), texts, window, stride)
        if not math.isclose(found, truth, rel_tol=1e-4):
            fail(what.format(window=window, stride=stride) + f": {found / truth - 1:+.1%}.")
        if not torch.equal(after, ids):
            fail("The ids were modified.")


class SureModel(torch.nn.Module):
    """Predicts token 1 everywhere; token 0 costs 120 nats, more than a probability in 32 bits can say."""

    def forward(self, ids):
        return torch.tensor([-120.0, 0.0]).expand(*ids.shape, 2)


@check(points=1, hint="A window scores only tokens that no window before it has scored; those at its beginning are context. The last window is shorter, and begins at a multiple of the stride.")
def scores_each_token_once():
    """On one text, each token is scored once, in the first window that predicts it, for all windows and strides."""
    jobs = []
    for window, stride, length in ((6, 6, 20), (6, 2, 20), (6, 3, 21), (6, 4, 24), (5, 1, 13), (1, 1, 9), (7, 5, 8), (7, 5, 9), (7, 3, 30), (9, 9, 4), (8, 4, 2)):
        jobs.append((np.random.randint(2**31), window, torch.randint(7, (1, length)), [length], window, stride))
    compare(jobs, "The perplexity is wrong for one text with window {window} and stride {stride}")
    found = probe(lambda ids: float(perplexity(SureModel().eval(), ids, [11], 4, 2)), torch.tensor([[1] * 5 + [0] + [1] * 5]))
    if not math.isclose(found, math.exp(12), rel_tol=1e-4):
        fail("The perplexity is wrong where a token is very improbable.")


@check(points=1, hint="Add up over all texts, and divide once: a long text weighs more. lengths alone says what padding is; a 0 can be a token.")
def ignores_padding():
    """Several texts of unequal lengths are scored without padding, and without reading from one another."""
    jobs = []
    for window, stride, lengths in ((6, 3, [14, 2, 7]), (4, 4, [3, 0, 11, 1, 12]), (5, 2, [1, 9, 9]), (8, 8, [6, 2, 2, 2, 2])):
        ids = torch.randint(7, (len(lengths), 14))
        for padding in (0, 3):  # token 0 stands in the texts, too
            padded = torch.where(torch.arange(14) < torch.tensor(lengths)[:, None], ids, padding)
            padded[0, 1] = 0
            jobs.append((np.random.randint(2**31), window, padded, lengths, window, stride))
    compare(jobs, "The perplexity is wrong for texts of unequal lengths, window {window} and stride {stride}")


@check(points=0.5, hint="Add up logarithms: a product of thousands of probabilities is 0 in floats.")
def works_for_long_texts():
    """A text of 4,000 tokens has the perplexity that the counts of its tokens give."""
    counts = [500, 500, 1_000, 2_000]
    order = torch.randperm(4_000)
    ids = torch.cat([torch.tensor([0]), torch.repeat_interleave(torch.arange(4), torch.tensor(counts))[order]])[None]
    found = probe(lambda ids: [float(perplexity(UnigramModel(), ids, [4_001], window, stride)) for window, stride in ((4_096, 4_096), (64, 64), (100, 50))], ids)
    bits = sum(count * cost for count, cost in zip(counts, (1, 2, 3, 3), strict=True)) / 4_000
    for answer in found:
        if not math.isclose(answer, 2**bits, rel_tol=1e-4):
            fail("Wrong for a text of 4,001 tokens.")


@check(points=0.5, hint="model.eval() before, model.train(was_training) after; torch.no_grad() around.")
def leaves_the_model_alone():
    """The model is called in evaluation mode, without recording gradients, and has its own mode afterwards."""
    def run(seed, ids):
        plain, found = float(perplexity(WindowModel(seed, 4).eval(), ids, [12, 9], 4, 2)), []
        for mode in (True, False):
            model = WindowModel(seed, 4, dropout=0.5).train(mode)
            answer = float(perplexity(model, ids, [12, 9], 4, 2))
            found.append((answer, model.calls, [part.training for part in model.modules()], all(p.grad is None and p.requires_grad for p in model.parameters())))
        return plain, found

    plain, found = probe(run, np.random.randint(2**31), torch.randint(7, (2, 12)))
    for mode, (answer, calls, modes, untouched) in zip((True, False), found, strict=True):
        if any(training for training, _ in calls) or not math.isclose(answer, plain, rel_tol=1e-4):
            fail("The model is called in training mode: its dropout is active.")
        if any(recording for _, recording in calls):
            fail("Gradients are recorded.")
        if set(modes) != {mode}:
            fail(f"A model that came in {'training' if mode else 'evaluation'} mode is left in the other.")
        if not untouched:
            fail("The parameters have gradients afterwards, or cannot be trained.")


def refused(function, cases):
    """For each case whether the function raises ValueError; any other error is the student's."""
    def run(cases):
        found = []
        for case in cases:
            try:
                function(*case)
            except ValueError:
                found.append(True)
            else:
                found.append(False)
        return found

    return probe(run, cases)


@check(points=0.5, hint="Raise ValueError unless 1 <= stride <= window, and where no token is scored: 0 / 0 is no perplexity.")
def refuses_gaps():
    """perplexity refuses strides that leave tokens out, and texts without a token to score."""
    def call(*case):
        return perplexity(UnigramModel(), *case)

    ids = torch.randint(4, (2, 9))
    # With five tokens a stride of 5 leaves nothing out, but is above the window all the same.
    cases = [(ids, [9, 9], 4, 5), (ids, [5, 2], 4, 5), (ids, [9, 9], 4, 0), (ids, [9, 9], 4, -1), (ids, [1, 0], 4, 2), (ids[:1], [0], 4, 2)]
    found = refused(call, cases)
    if not all(found[:4]):
        fail("A stride that is not from 1 to the window has to raise ValueError.")
    if not all(found[4:]):
        fail("Texts of at most one token have to raise ValueError.")


@check(points=1, hint="len(text.encode()) of the text as it is. First all sums, then one division; a text without tokens changes nothing. Nothing at all raises ValueError.")
def bits_of_any_text():
    """Accents, emoji and line ends count by their bytes; several texts are one long text; no text at all is refused."""
    generator = np.random.default_rng(np.random.randint(2**31))
    sizes = {"plain": 5, "naïve café": 12, "日本語": 9, "🙂🙃": 8, "a\r\nb\t \n": 7, "e\u0301": 3, "": 0, "  x ": 4}  # bytes, from the definition of UTF-8
    for chosen in (["plain"], ["naïve café"], ["🙂🙃", "plain"], ["日本語", "", "a\r\nb\t \n"], ["e\u0301", "  x "], list(sizes)):
        losses = [generator.uniform(0.1, 6, 0 if not text else generator.integers(1, 9)) for text in chosen]
        nats, n_bytes = math.fsum(np.concatenate(losses)), sum(sizes[text] for text in chosen)
        for kind in (list, np.array, torch.tensor):
            found = probe(lambda losses, texts: float(bits_per_byte(losses, texts)), [kind(values.tolist()) for values in losses], chosen)
            if not math.isclose(found, nats * math.log2(math.e) / n_bytes, rel_tol=1e-5):
                fail(f"Wrong for {'one text' if len(chosen) == 1 else 'several texts'}{'' if all(text.isascii() for text in chosen) else ' with characters beyond ASCII'}.")
    for kind in (np.array, torch.tensor):  # 20,000 losses of 6: their sum is no number of 16 bits
        long = kind([6.0] * 20_000, dtype=np.float16 if kind is np.array else torch.float16)
        if not math.isclose(probe(lambda losses, texts: float(bits_per_byte(losses, texts)), [long], ["a" * 20_000]), 6 * math.log2(math.e), rel_tol=1e-5):
            fail("Wrong for a long text whose losses have 16 bits.")
    if not all(refused(bits_per_byte, [([], []), ([[]], [""]), ([[], []], ["", ""])])):
        fail("Without a single byte, ValueError has to be raised.")


@check(points=1, hint="Without replacement: C(n - c, k) / C(n, k), which is 0 if fewer than k attempts are wrong. Then the mean over tasks, not over attempts.")
def agrees_with_subsets():
    """pass_at_k agrees with going through all subsets of k attempts, for each task by itself."""
    def best(n, c, k):
        return statistics.fmean(max(subset) for subset in itertools.combinations([1] * c + [0] * (n - c), k))

    cases = [([n], [c], k) for n in range(1, 8) for c in range(n + 1) for k in range(1, n + 1)]
    for _ in range(12):
        n = np.random.randint(3, 11, 4)
        cases.append((n.tolist(), [np.random.randint(attempts + 1) for attempts in n], np.random.randint(1, 4)))
    found = probe(lambda cases: [float(pass_at_k(*case)) for case in cases], cases)
    for (n, c, k), answer in zip(cases, found, strict=True):
        truth = statistics.fmean(best(*task, k) for task in zip(n, c, strict=True))
        if not abs(answer - truth) < 1e-7:
            fail(f"pass@{k} is wrong for {'a task with' if len(n) == 1 else 'several tasks; the first has'} {c[0]} of {n[0]} attempts right.")


@check(points=0.5, hint="C(100,000, 50,000) has 30,000 digits and is no float. Multiply factors between 0 and 1, or use whole numbers and divide them at the end.")
def works_for_many_attempts():
    """pass_at_k is as precise for 100,000 attempts."""
    def chance(n, c, k):
        """By the other product, of k factors, in exact fractions where there are few of them: C(n - c, k) / C(n, k)."""
        if k > n - c:
            return 1.0
        if k <= 100:
            return float(1 - math.prod((Fraction(n - c - i, n - i) for i in range(k)), start=Fraction(1)))
        return 1 - math.exp(math.fsum(math.log1p(-c / (n - i)) for i in range(k)))

    n = 100_000
    cases = [([n], [c], k) for c, k in ((3, 1), (1, 10), (37, 100), (50_000, 100), (2, 50_000), (20, 20_000), (60_000, 50_000), (0, 5_000), (n, 1), (n - 1, 2))]
    cases.append(([n, 2_000, 500], [40, 3, 0], 200))
    found = probe(lambda cases: [float(pass_at_k(*case)) for case in cases], cases)
    for (n, c, k), answer in zip(cases, found, strict=True):
        truth = statistics.fmean(chance(*task, k) for task in zip(n, c, strict=True))
        if not abs(answer - truth) < 1e-7:
            fail(f"pass@{k:,} is wrong for {c[0]:,} of {n[0]:,} attempts right.")


@check(points=0.5, hint="Raise ValueError unless 1 <= k <= n, for every task.")
def refuses_too_few_attempts():
    """pass_at_k refuses k = 0, and more attempts than were made at one of the tasks."""
    for case, answer in zip(cases := [([4], [4], 5), ([4], [0], 5), ([10, 3, 10], [5, 3, 5], 4), ([5], [2], 0), ([5], [2], -1)], refused(pass_at_k, cases), strict=True):
        if not answer:
            fail(f"k = {case[2]} with {min(case[0])} attempts has to raise ValueError.")


@check(points=1, hint="Only the answer's tokens count, each predicted at the token before it: the prompt's last token predicts the first. Divide by the length of the answer alone.")
def chooses_like_the_model():
    """With a model that looks at what comes before, the chosen answer is the best one, by sum, per token and per byte."""
    signs = ["a", "é", "日", "🙂", "bc", " ", "xyz"]
    cases = []
    while len(cases) < 60:
        seed, by = np.random.randint(2**31), ("sum", "token", "byte")[len(cases) % 3]
        prompt = np.random.randint(7, size=np.random.randint(1, 8)).tolist()
        answers = [np.random.randint(7, size=np.random.randint(1, 6)).tolist() for _ in range(np.random.randint(2, 5))]
        texts = ["".join(signs[token] for token in answer) for answer in answers]
        model = WindowModel(seed, 12).eval()
        likelihoods = [-math.fsum(loss_of(model, prompt + answer[:i], answer[i]) for i in range(len(answer))) for answer in answers]
        lengths = {"sum": [1] * len(answers), "token": [len(answer) for answer in answers], "byte": [len(text.encode()) for text in texts]}
        values = [likelihood / length for likelihood, length in zip(likelihoods, lengths[by], strict=True)]
        if sorted(values)[-1] - sorted(values)[-2] > 1e-3:  # no choice hangs on rounding
            cases.append((seed, prompt, answers, texts, by, values.index(max(values))))
    found = probe(lambda cases: [int(choose_answer(WindowModel(case[0], 12).eval(), *case[1:5])) for case in cases], cases)
    for (*_, by, truth), answer in zip(cases, found, strict=True):
        if answer != truth:
            fail(f'by "{by}", a different answer is the best.')


@check(points=0.5, hint="max finds the first of equal ones. A misspelt `by` must not count as one of the three.")
def chooses_the_earliest():
    """Of equally likely answers the earliest is chosen; an unknown `by` is refused."""
    cases = [([2, 3], [[3], [2], [1, 1]], ["a", "b", "cd"], 0), ([0], [[2, 1], [1], [1], [1]], ["no", "a", "b", "c"], 1), ([1], [[0, 3, 2], [0, 2, 3], [0, 3, 3]], ["abc", "bca", "cab"], 0)]
    for by, kind in itertools.product(("sum", "token", "byte"), range(3)):
        prompt, answers, texts, truth = cases[kind]
        if (by, kind) == ("token", 0) or (by, kind) == ("byte", 0):
            truth = 2
        found = probe(lambda *case: int(choose_answer(UnigramModel().eval(), *case)), prompt, answers, texts, by)
        if found != truth:
            fail(f'by "{by}", the earliest of the best answers is not chosen.')
    if not all(refused(lambda by: choose_answer(UnigramModel().eval(), [0], [[1], [2]], ["a", "b"], by), [("words",), ("",), ("tokens",), ("bytes",)])):
        fail('A `by` that is none of "sum", "token" and "byte" has to raise ValueError.')


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### One model, many numbers
#
# **Left**, the packaged copy of chapter 1's GPT reads part of its validation text. **Middle**, two made-up models on 100 tasks, with 20 attempts at each: one solves 40 tasks four times in five and the others never; the other solves each with probability ¼. **Right**, questions with four answers of one to eight words (one is how the text goes on), also for two models that know only pairs of tokens. **Predict:** which bar on the left is the lowest? Which model in the middle is better?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def ask_questions(models, text, n_questions, longest, seed):
    """How many questions each model answers right, by sum, per token and per byte. `models` are pairs of a model and its encoder."""
    import re

    words = [found.span() for found in re.finditer(r" \w\S*", text)]
    correct, n_asked, generator = np.zeros((len(models), 3)), 0, np.random.default_rng(seed)
    while n_asked < n_questions:
        starts, lengths = generator.choice(np.arange(20, len(words) - 20), 4, replace=False), generator.integers(1, longest + 1, 4)
        begin = words[starts[0]][0]
        texts = [text[words[start][0] : words[start + length - 1][1]] for start, length in zip(starts, lengths, strict=True)]
        if max(len(models[0][1](answer)) for answer in texts) > 40:
            continue  # too long for the GPT's 64 tokens
        n_asked += 1
        for i, (model, encode) in enumerate(models):
            prompt, answers = encode(text[begin - 50 : begin])[-24:], [encode(answer) for answer in texts]
            correct[i] += np.equal([choose_answer(model, prompt, answers, texts, by) for by in ("sum", "token", "byte")], 0)
    return correct


def draw_language_metrics(window=64, n_attempts=20, n_questions=300, longest=8, seed=0):
    training, validation = lesson.corpus()
    packaged = lesson.gpt(own=False)
    tokenizer = packaged.tokenizer
    pass_at_k([1], [1], 1)  # before there are axes: is there an answer?

    paragraphs = [tokenizer.encode(paragraph + "\n\n") for paragraph in validation.split("\n\n")[:60]]
    lengths = [len(paragraph) for paragraph in paragraphs]
    rows = torch.full((len(paragraphs), max(lengths)), 10)  # padded with line ends
    for row, paragraph in zip(rows, paragraphs, strict=True):
        row[: len(paragraph)] = torch.tensor(paragraph)
    stream = torch.tensor([[token for paragraph in paragraphs for token in paragraph]])
    parts = stream[0, : stream.shape[1] // window * window].view(-1, 1, window)

    def measure(ids, lengths, stride=window):
        return perplexity(packaged.model, ids, lengths, window, stride)

    bars = {f"stride {stride}": measure(stream, [stream.shape[1]], stride) for stride in (window, window // 2, window // 8)}
    bars["paragraphs apart"], bars["… with padding"] = measure(rows, lengths), measure(rows, [rows.shape[1]] * len(rows))
    bars["mean over windows"] = np.mean([measure(part, [window]) for part in parts])
    many = make_tokenizer(training, 2048)
    models = [(packaged.model, tokenizer.encode)]
    for encode, n_tokens in ((tokenizer.encode, 512), (lambda text: many.encode(text).ids, 2048)):
        models.append((Bigrams(encode(training), n_tokens).eval(), encode))
    correct = ask_questions(models, validation, n_questions, longest, seed)

    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.7), gridspec_kw={"width_ratios": (1.1, 1, 1)})
    drawn = left.barh(range(len(bars)), list(bars.values()), color=["C0"] * 4 + ["0.75"] * 2, hatch=[""] * 4 + ["//"] * 2, edgecolor="white", height=0.7)
    left.bar_label(drawn, fmt="%.1f", padding=3, fontsize=9)
    left.set_yticks(range(len(bars)), labels=bars)
    left.invert_yaxis()
    left.set(title="Perplexity; wrong ones hatched", xlabel="perplexity per token", xlim=(0, 1.2 * max(bars.values())))
    left.grid(axis="y", visible=False)

    generator = np.random.default_rng(seed)
    ks = np.arange(1, n_attempts + 1)
    for i, (name, chances) in enumerate({"40 tasks, well": np.repeat([0.8, 0], [40, 60]), "every task, sometimes": np.full(100, 0.25)}.items()):
        solved = generator.binomial(n_attempts, chances)
        middle.plot(ks, [pass_at_k([n_attempts] * 100, solved.tolist(), int(k)) for k in ks], color=f"C{i}", label=name)
        middle.plot(ks[::2], [np.mean(1 - (1 - chances) ** k) for k in ks[::2]], "os"[i], ms=4.5, color=f"C{i}", mec="black", mew=0.5)
        middle.plot(ks, [np.mean(1 - (1 - solved / n_attempts) ** k) for k in ks], ":", color="black", lw=1.2)
    middle.plot([], [], "o", color="0.7", ms=4.5, mec="black", mew=0.5, label="truth")
    middle.plot([], [], ":", color="black", lw=1.2, label="with replacement")
    middle.set(title="pass@k", xlabel="$k$", ylabel="tasks solved", ylim=(0, 1.05), xticks=[1, 5, 10, 15, 20])
    middle.legend(fontsize=8.5, loc="lower right")

    names = ["GPT, 512 tokens", "pairs, 512 tokens", "pairs, 2,048 tokens"]
    right.axhline(25, color="black", lw=1, ls="--", zorder=0)
    for i, values in enumerate(correct):
        drawn = right.bar(np.arange(3) + 0.27 * (i - 1), 100 * values / n_questions, width=0.25, color=["C0", "0.8", "0.55"][i], hatch=["", "..", "//"][i], edgecolor="white", label=names[i])
        right.bar_label(drawn, fmt="%.0f", padding=1, fontsize=8.5)
    right.set_xticks(range(3), labels=["sum", "per token", "per byte"])
    right.set(title=f"Multiple choice, {n_questions} questions", ylabel="right, in %", ylim=(0, 80))
    right.legend(fontsize=8.5, loc="upper left")
    right.grid(axis="x", visible=False)
    plt.show()


try:
    draw_language_metrics()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.6.")

# %% [markdown]
# **Left.** Overlapping windows help, up to a point. "Paragraphs apart" is lowest, but there the first token of each is given. The hatched bars are mistakes: padding was counted as text, or the windows' perplexities were averaged, instead of their losses.
#
# **Middle.** Which model is better depends on $k$: 32 against 25 % at $k = 1$, and 40 against 94 % at $k = 10$.
#
# **Right.** By sum, all three are near guessing: in a run with 6,000 questions, 82 % of the chosen answers were the shortest of the four. **Normalisation decides how far apart models are.** In that run, the GPT was ahead of the pairs of 2,048 tokens by 1.3 ± 0.4 points by sum, 0.8 ± 1.2 per token and 3.3 ± 0.8 per byte (clustered standard errors). With 300 questions the order changes with the rule and the seed: whoever chooses the rule afterwards can choose the winner.
#
# ### BLEU and ROUGE count words
#
# For translations and summaries there is often a reference. **BLEU** (Papineni et al., 2002) is the geometric mean of the precision of $n$-grams of one to four words, each counted at most as often as in the reference, with a penalty for short output. **ROUGE** (Lin, 2004) asks how many of the *reference's* $n$-grams are found. But for the reference "the patient does not have a fever", "the patient does have a fever" has an $F_1$ of single words (ROUGE-1) of .92, and "no fever was measured" .18.
#
# **Change, predict, run.** With answers of one word, `draw_language_metrics(longest=1)`, which of the three rules changes most? Does the order of the models still depend on the rule?
#
# <details><summary>What you should see</summary>
#
# The sum gains most, some 20 points: the answers are now almost equally long. Per token, the pairs of 2,048 tokens are ahead of the GPT, by 4 to 8 points with the seeds 0, 1 and 2; per byte, once of three times.
# </details>
