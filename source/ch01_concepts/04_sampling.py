# %% [markdown]
# ## 1.4 Sampling
#
# A language model gives probabilities for the next token; something else has to choose.
#
# The smallest model that writes has counted which letter follows each run of four, in 100,000 characters of
# Python's documentation. It starts with `The `, and always takes the **most probable** letter. **Predict first:** will it write better or worse
# than by drawing at random?

# %% nbgrader={"grade": false, "grade_id": "setup_sampling", "locked": true, "schema_version": 3, "solution": false, "task": false}
class LetterModel(nn.Module):
    """A language model that has counted which letter followed the last `order` letters in a text.

    Where it has not seen these letters, it looks at fewer.
    """

    def __init__(self, text: str, order: int):
        super().__init__()
        self.letters, self.order = sorted(set(text)), order
        self.number = {letter: i for i, letter in enumerate(self.letters)}
        self.counts = {}
        for i, letter in enumerate(text):
            for start in range(max(0, i - order), i + 1):
                followers = self.counts.setdefault(text[start:i], {})
                followers[letter] = followers.get(letter, 0) + 1
        self.known = {}  # logits after a context that was asked for before

    def encode(self, text: str) -> torch.Tensor:
        """A text as a batch of one row, (1, T)."""
        return torch.tensor([[self.number[letter] for letter in text]])

    def decode(self, row: torch.Tensor) -> str:
        """The text of one row, (T,)."""
        return "".join(self.letters[i] for i in row.tolist())

    def after(self, context: str) -> torch.Tensor:
        """Logits (V,) for the letter after a context: log counts, and -inf for what never followed."""
        if context not in self.known:
            seen = context
            while seen not in self.counts:
                seen = seen[1:]
            logits = torch.full((len(self.letters),), -math.inf)
            for letter, n in self.counts[seen].items():
                logits[self.number[letter]] = math.log(n)
            self.known[context] = logits
        return self.known[context]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) letters to (B, T, V) logits for the letter after each of them."""
        rows = []
        for text in map(self.decode, ids):
            ends = range(1, len(text) + 1)
            rows.append(torch.stack([self.after(text[max(0, end - self.order) : end]) for end in ends]))
        return torch.stack(rows)


# %% tags=["demo"]
def write_greedily() -> None:
    from pydoc_data.topics import topics

    model = LetterModel("\n\n".join(topics.values())[:100_000], order=4)
    ids = model.encode("The ")
    for _ in range(150):
        best = model(ids[:, -4:])[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, best], dim=1)
    print(model.decode(ids[0]))


write_greedily()

# %% [markdown]
# It goes in circles: as soon as four letters come back, all that follows comes back. Large
# transformers look further back, and yet GPT-2 repeated itself when it wrote what is most probable (Holtzman et al., arXiv:1904.09751).
# Text by people is not the most probable text.
#
# So one draws. But thousands of improbable tokens are together not improbable, and one bad token can spoil what follows. Three numbers
# help; $z_i$ are the logits:
#
# | | effect |
# |---|---|
# | **temperature** $T$ | $p_i \propto \exp(z_i / T)$: below 1 sharper, above 1 flatter |
# | **top-k** | keep the $k$ most probable tokens (Fan et al., arXiv:1805.04833) |
# | **top-p** | keep the smallest set of most probable tokens whose probabilities sum to $p$ or more (Holtzman et al.) |
#
# What is kept is scaled to sum to one. **The order matters.** Take probabilities of 0.4, 0.25, 0.2, 0.1 and 0.05, $k = 3$ and $p = 0.7$. How many
# tokens are left with top-k first? With top-p first?
#
# <details><summary>Answer</summary>
#
# Top-k first: 0.47, 0.29 and 0.24 are left after scaling; the first two reach 0.7, so top-p keeps **two**.
# Top-p first: 0.4 + 0.25 is less than 0.7, so the third is needed, and top-k keeps all **three**.
# </details>
#
# Here the order is temperature, top-k, top-p, as in Hugging Face Transformers.
#
# ### Exercise 1.4 · Sampling
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **13 points** · PyTorch
#
# **Write** four functions, with anything from PyTorch.
#
# <details><summary>Hint 1: top-p, and the way back</summary>
#
# Sort in descending order. A token is dropped if the probability of those **before** it already reaches $p$: shift the `cumsum` by one.
# `scatter`, with the indices from `sort`, leads back to the tokens. `stable=True` keeps equal logits in the order of their ids.
# </details>
#
# <details><summary>Hint 2: temperature zero, and overflow</summary>
#
# Subtract the largest logit first: this changes no probability. For $T = 0$
# do not divide: set the largest to 0, all others to $-\infty$.
# </details>

# %% nbgrader={"grade": false, "grade_id": "sampling", "locked": false, "schema_version": 3, "solution": true, "task": false}
def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """The k largest logits of each row; all others become -inf.

    Logits that equal the k-th largest are all kept, so more than k may be.

    Args:
        logits: (..., V), floating point, of any precision; entries may be -inf, at least one in a
            row is finite. Not modified.
        k: 1 or more; V or more keeps all.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        ValueError: if k is below 1.

    >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0]), 2)
    tensor([-inf, 3., 2.])
    """
    ### BEGIN SOLUTION
    if k < 1:
        raise ValueError("k is at least 1")
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)
    ### END SOLUTION


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """The smallest number of largest logits whose probabilities sum to p or more; all others become
    -inf.

    So the token with which the sum reaches p is kept. Of equal logits, those with smaller ids come
    first. Probabilities are the softmax of the row; they and their sums are computed in float32, or
    in float64 if the logits are.

    Args:
        logits: as for `keep_top_k`. Not modified.
        p: from 1e-6 to 1; 1 keeps all.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        ValueError: if p is not above 0, or is above 1.

    >>> keep_top_p(torch.tensor([0.1, 0.6, 0.3]).log(), 0.7).exp()
    tensor([0.0000, 0.6000, 0.3000])
    """
    ### BEGIN SOLUTION
    if not 0 < p <= 1:
        raise ValueError("p is above 0 and at most 1")
    if p == 1:
        return logits.clone()
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = F.softmax(ordered.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
    dropped = F.pad(probabilities.cumsum(-1)[..., :-1], (1, 0)) >= p
    return logits.masked_fill(dropped.scatter(-1, ids, dropped), -math.inf)
    ### END SOLUTION


def next_distribution(
    logits: torch.Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> torch.Tensor:
    """Probabilities of the next token: temperature first, then top-k, then top-p.

    Args:
        logits: as for `keep_top_k`, finite ones up to 1e4 in size. Not modified.
        temperature: 0, or from 1e-4 to 1e4. At 0, its limit: the largest logit has all the probability;
            equal ones share it equally.
        top_k, top_p: as for `keep_top_k` and `keep_top_p`; None: left out.

    Returns:
        Probabilities (..., V) that sum to one over the last axis, float64 if the logits are,
        otherwise computed in float32; zero for what is not kept.

    Raises:
        ValueError: if the temperature is negative, or as `keep_top_k` and `keep_top_p` do.

    >>> next_distribution(torch.tensor([0.8, 0.2]).log(), temperature=0.5)
    tensor([0.9412, 0.0588])
    """
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError("the temperature is not negative")
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logits = logits - logits.amax(-1, keepdim=True)
    if temperature == 0:
        logits = torch.zeros_like(logits).masked_fill(logits < 0, -math.inf)
    else:
        logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return F.softmax(logits, dim=-1)
    ### END SOLUTION


def generate(
    model: nn.Module,
    ids: torch.Tensor,
    n_new: int,
    context: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Lets a language model continue each row of a batch.

    Each new token is drawn from `next_distribution` of the logits at the last position, when the
    model is given the last `context` tokens of the row so far, or all of them while there are
    fewer. Rows are drawn independently of each other.

    Meanwhile the model is in evaluation mode and no gradients are recorded; afterwards its mode is
    as before, and gradients are recorded again if they were.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for T up to `context`; in either mode,
            which is that of all its parts.
        ids: (B, T), int64, T at least 1, and perhaps above `context`. Not modified.
        n_new: tokens to add to each row, 0 or more.
        temperature, top_k, top_p: as for `next_distribution`.
        generator: the only source of chance: from the same state of it, the same tokens follow.
            None: torch's default generator.

    Returns:
        (B, T + n_new), int64: the rows of `ids`, and behind them the new tokens. Not a tensor of
        `torch.inference_mode`, which no training could use.

    >>> generate(model, torch.tensor([[5, 7]]), 3, context=64).shape
    torch.Size([1, 5])
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for _ in range(n_new):
            logits = model(ids[:, -context:])[:, -1]
            probabilities = next_distribution(logits, temperature, top_k, top_p)
            new = torch.multinomial(probabilities, 1, generator=generator)
            ids = torch.cat([ids, new], dim=1)
    model.train(was_training)
    return ids
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_sampling", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=13)
FIVE = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2]).log()  # the text's example, in a different order


@check(points=0.5, hint="Compare with the k-th largest logit of the row; what equals it stays.")
def keeps_the_k_largest():
    """keep_top_k keeps the k largest logits in their places, and all that equal the k-th."""
    for row, k, truth in [([1.0, 3.0, 2.0, 0.0], 2, [-math.inf, 3.0, 2.0, -math.inf]), ([1.0, 3.0, 2.0, 3.0], 1, [-math.inf, 3.0, -math.inf, 3.0])]:
        found = keep_top_k(torch.tensor(row), k)
        assert found is not None, "keep_top_k returns None: is the return missing?"
        assert found.tolist() == truth, f"keep_top_k({row}, {k}) is {found.tolist()} instead of {truth}"


@check(points=0.5, hint="A token is dropped if those before it, in sorted order, already have a probability of p. Then put the mask back into the order of the tokens.")
def keeps_the_token_that_crosses_p():
    """keep_top_p keeps the token with which the sum reaches p, and puts everything back in its place."""
    for p, truth in [(0.7, [1, 3, 4]), (0.3, [1]), (0.9, [0, 1, 3, 4])]:
        found = keep_top_p(FIVE.clone(), p)
        assert found is not None, "keep_top_p returns None: is the return missing?"
        kept = torch.isfinite(found).nonzero().flatten().tolist()
        assert kept == truth, f"of the probabilities {[round(x, 2) for x in FIVE.exp().tolist()]}, p = {p} keeps the tokens {kept} instead of {truth}"


@check(points=0.5, hint="Divide the logits by the temperature; then top-k, then top-p on what is left, scaled to sum to one; a softmax last.")
def follows_the_order():
    """next_distribution applies the temperature, then top-k, then top-p, and sums to one."""
    for arguments, truth in [
        (dict(temperature=0.5), (FIVE.exp() ** 2 / (FIVE.exp() ** 2).sum())),
        (dict(top_k=3, top_p=0.7), torch.tensor([0.0, 0.4, 0.0, 0.25, 0.0]) / 0.65),
    ]:
        found = next_distribution(FIVE.clone(), **arguments)
        assert found is not None, "next_distribution returns None: is the return missing?"
        assert torch.allclose(found, truth, atol=1e-5), f"with {arguments}: {found.tolist()} instead of {truth.tolist()}"


class Successor(nn.Module):
    """Always says that the next token is one more than the last, modulo 10; takes at most 4 tokens."""

    def forward(self, ids):
        if ids.shape[1] > 4:
            raise ValueError(f"the model's context is 4, and it was given {ids.shape[1]} tokens")
        return 100.0 * F.one_hot((ids + 1) % 10, 10)


@check(points=0.5, hint="Give the model ids[:, -context:], take the logits of the last position, and add the new token behind all that there is.")
def continues_a_count():
    """generate lets a model that counts go on counting, beyond its context, and keeps the prompt."""
    run = lambda: generate(Successor(), torch.tensor([[3, 4, 5], [7, 8, 9]]), 6, 4)
    found = probe(run)
    assert found is not None, "generate returns None: is the return missing?"
    truth = [[3, 4, 5, 6, 7, 8, 9, 0, 1], [7, 8, 9, 0, 1, 2, 3, 4, 5]]
    assert found.tolist() == truth, f"{found.tolist()} instead of {truth}"


### BEGIN HIDDEN TESTS
from scipy import stats


def processed(logits, temperature=1.0, top_k=None, top_p=None):
    """Logits after the processors of Hugging Face Transformers, in the order that the exercise asks for."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    rows = logits.reshape(-1, logits.shape[-1])
    chain = [] if temperature == 1 else [TemperatureLogitsWarper(float(temperature))]
    chain += [] if top_k is None else [TopKLogitsWarper(top_k)]
    chain += [] if top_p is None else [TopPLogitsWarper(top_p)]
    for processor in chain:
        rows = processor(None, rows)
    return rows.view(logits.shape)


def truth_of(logits, temperature=1.0, top_k=None, top_p=None):
    """Probabilities by the library; temperature 0 is its limit, one that is small enough."""
    return F.softmax(processed(logits, temperature or 1e-9, top_k, None if top_p == 1 else top_p), -1)


def crosses_far_from(probabilities, p):
    """Whether no sum of the sorted probabilities comes so close to p that rounding decides."""
    return bool(((probabilities.double().sort(-1, descending=True).values.cumsum(-1) - p).abs() > 1e-4).all())


def apply(name, cases):
    """The student's function on each case, and whether its logits are as before."""
    def run(name, cases):
        functions = {"keep_top_k": keep_top_k, "keep_top_p": keep_top_p, "next_distribution": next_distribution}
        found = []
        for logits, *arguments in cases:
            given = logits.clone()
            found.append((functions[name](given, *arguments), torch.equal(given, logits)))
        return found

    found = probe(run, name, cases)
    if not all(kept for _, kept in found):
        fail(f"{name} changes its argument.")
    return [answer for answer, _ in found]


def same(answer, truth):
    return answer.shape == truth.shape and answer.dtype == truth.dtype and torch.equal(answer, truth)


@check(points=1, hint="Compare with the k-th largest of each row (the last axis). k may be larger than the row. Ties at k are kept, and the dtype stays.")
def top_k_like_transformers():
    """keep_top_k agrees with Hugging Face's processor, for any shape, k and precision, with ties."""
    cases = []
    for shape in [(7,), (1,), (3, 7), (7, 3), (2, 3, 11)]:
        for k in (1, 2, 3, 7, 50):
            for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
                cases.append(((torch.randn(shape) * 2).round().to(dtype), k))
                cases.append((torch.randn(shape, dtype=torch.float64).to(dtype), k))
    hole = torch.randn(4, 9)
    hole[:, 3:] = -math.inf
    cases += [(hole, 2), (hole, 5)]
    for (logits, k), answer in zip(cases, apply("keep_top_k", cases), strict=True):
        if not same(answer, processed(logits, top_k=k)):
            fail(f"Wrong for logits of shape {tuple(logits.shape)}, {logits.dtype}, and k = {k}.")


@check(points=1, hint="Sort each row, sum up, keep what crosses p, and undo the sorting row by row. The largest is always kept, and p = 1 keeps all.")
def top_p_like_transformers():
    """keep_top_p agrees with Hugging Face's processor on rows without ties, of any shape."""
    cases = []
    for shape in [(7,), (1,), (3, 7), (7, 3), (2, 3, 11), (4, 300)]:
        for p in (0.05, 0.3, 0.6, 0.9, 0.99):
            for dtype in (torch.float32, torch.float64):
                logits = torch.randn(shape, dtype=dtype) * 2
                if shape[-1] == 11:
                    logits[..., 4:6] = -math.inf
                if crosses_far_from(F.softmax(logits, -1), p):
                    cases.append((logits, p))
    for (logits, p), answer in zip(cases, apply("keep_top_p", cases), strict=True):
        if not same(answer, processed(logits, top_p=p)):
            fail(f"Wrong for logits of shape {tuple(logits.shape)} and p = {p}.")
    everything = [(torch.tensor([0.0, -30.0, -60.0]), 1), (torch.tensor([[-90.0, 0.0, -45.0]], dtype=torch.float64), 1.0)]  # the first alone rounds to 1
    for (logits, _), answer in zip(everything, apply("keep_top_p", everything), strict=True):
        if not same(answer, logits):
            fail("With p = 1, tokens are lost.")


@check(points=1, hint="Sort with stable=True and descending=True. A threshold on the probability keeps too many where there are ties.")
def top_p_breaks_ties_by_id():
    """Of equal logits, keep_top_p keeps those with the smaller ids, and no more than it needs."""
    cases, truths = [], []
    for n in (5, 8, 40):
        for needed in (1, 2, n // 2, n):
            weights = torch.ones(2, n)
            weights[1, n - 1] = 2.0  # in the second row the last one is the largest
            cases.append((weights.log(), (needed - 0.5) / n))
            share = cases[-1][1] * (n + 1)  # what the second row has to reach, in units of its small ones
            many = 1 if share < 2 else 1 + math.ceil(share - 2)
            truths.append([list(range(needed)), sorted([n - 1, *range(many - 1)])])
    for n, needed in [(2, 1), (4, 2), (8, 2)]:  # sums that are p exactly, without any rounding
        cases.append((torch.zeros(2, n), needed / n))
        truths.append([list(range(needed))] * 2)
    for (logits, _), truth, answer in zip(cases, truths, apply("keep_top_p", cases), strict=True):
        kept = [row.isfinite().nonzero().flatten().tolist() for row in answer]
        if kept != truth:
            fail(f"Of {logits.shape[-1]} tokens, with ties, {[len(row) for row in kept]} are kept in the two rows instead of {[len(row) for row in truth]}, or others.")


@check(points=1, hint="In bfloat16, 256 + 1 is 256: convert before you sum up. But what keep_top_p returns has the dtype that it was given.")
def sums_in_enough_precision():
    """Half-precision logits: sums in float32, keep_top_p in the logits' dtype, probabilities in float32; float64 stays."""
    cases, truths = [], []
    for dtype in (torch.bfloat16, torch.float16):
        for n, p in [(4000, 0.6), (2500, 0.9)]:
            cases.append((torch.zeros(n, dtype=dtype), p))
            truths.append(round(n * p))
    for (logits, _), truth, answer in zip(cases, truths, apply("keep_top_p", cases), strict=True):
        if answer.dtype != logits.dtype or abs(int(answer.isfinite().sum()) - truth) > 8:
            fail(f"Of {len(logits)} equal tokens in {logits.dtype}, keep_top_p keeps {int(answer.isfinite().sum())}, in {answer.dtype}.")
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        logits = (torch.randn(3, 400, dtype=torch.float64) * 3).to(dtype)
        crossing = [] if dtype in (torch.bfloat16, torch.float16) else [(0.7, None, 0.8)]  # rounded logits have ties
        for arguments in [(1.0,), (0.7,), (0,), (1.3, 50), (1.5, 60, 1.0), *crossing]:
            answer, = apply("next_distribution", [(logits, *arguments)])
            truth = truth_of(logits.double(), *arguments)
            if answer.dtype != (torch.float64 if dtype == torch.float64 else torch.float32):
                fail(f"Logits in {dtype} give probabilities in {answer.dtype}.")
            tolerance = 1e-12 if dtype == torch.float64 else 1e-6
            if crosses_far_from(truth_of(logits.double(), *arguments[:2]), arguments[2] if len(arguments) > 2 else 2) and not torch.allclose(answer.double(), truth, atol=tolerance, rtol=0.0):
                fail(f"The probabilities of logits in {dtype} are wrong by more than rounding explains.")


@check(points=1, hint="Logits divided by the temperature, then top-k, then top-p. Every part works without the others, over the last axis.")
def distribution_like_transformers():
    """next_distribution agrees with Hugging Face's processors, for all combinations and any shape."""
    cases = []
    for shape in [(9,), (4, 9), (9, 4), (2, 3, 12)]:
        for temperature in (0.3, 1.0, 2.5):
            for top_k in (None, 1, 3, 100):
                for top_p in (None, 0.2, 0.6, 0.95):
                    logits = torch.randn(shape, dtype=torch.float64) * 2
                    logits[..., 1] = -math.inf
                    if top_p is None or crosses_far_from(truth_of(logits, temperature, top_k), top_p):
                        cases.append((logits, temperature, top_k, top_p))
    for (logits, *arguments), answer in zip(cases, apply("next_distribution", cases), strict=True):
        truth = truth_of(logits, *arguments)
        if answer.shape != truth.shape or not torch.allclose(answer, truth, atol=1e-9):
            names = zip(("temperature", "top_k", "top_p"), arguments, strict=True)
            fail("Wrong with " + ", ".join(f"{name} = {value}" for name, value in names) + f", and logits of shape {tuple(logits.shape)}.")
    logits = torch.randn(5)
    plain = next_distribution(logits)
    if not torch.allclose(plain, F.softmax(logits, -1), atol=1e-6):
        fail("With the defaults it is not the softmax.")


@check(points=1, hint="At 0 do not divide. For small temperatures subtract the largest logit first: 0 / T is 0. Equal logits have equal probabilities, in the limit, too.")
def temperature_has_its_limits():
    """Temperature zero shares everything among the largest; small, large and extreme values stay finite."""
    rows = torch.tensor([[1.0, 3.0, 2.0, 3.0], [-1e4, -1e4, -2e4, -1.5e4], [1e4, 0.0, -1e4, -math.inf]])
    truth = torch.tensor([[0, 0.5, 0, 0.5], [0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    for arguments in [(0,), (0.0, None, 0.9), (0, 3), (1e-4,), (1e-3, 2)]:
        answer, = apply("next_distribution", [(rows, *arguments)])
        if not torch.allclose(answer, truth, atol=1e-6):
            fail(f"With temperature {arguments[0]:g}, " + ("there are NaNs." if answer.isnan().any() else "the largest logits do not share all the probability equally."))
    answer, = apply("next_distribution", [(torch.tensor([-1.0, -1e-30, 0.0]), 0)])
    if not torch.allclose(answer, torch.tensor([0.0, 0, 1])):
        fail("At temperature 0, a logit that is hardly smaller than the largest gets some of the probability.")
    for arguments, first in [((0, 1), [0, 0.5, 0, 0.5]), ((0, None, 0.4), [0, 1.0, 0, 0])]:
        answer, = apply("next_distribution", [(rows[:1], *arguments)])
        if not torch.allclose(answer, torch.tensor([first]), atol=1e-6):
            fail("At temperature 0, top-k or top-p do something else to ties than they do elsewhere.")
    answer, = apply("next_distribution", [(rows[:1], 1e4)])
    if not torch.allclose(answer, torch.full((1, 4), 0.25), atol=1e-3):
        fail("A high temperature does not make all tokens equally probable.")
    half = torch.tensor([3e4, -3e4, 2e4], dtype=torch.float16)
    for temperature in (1.0, 0.01):
        answer, = apply("next_distribution", [(half, temperature)])
        if not torch.allclose(answer.float(), torch.tensor([1.0, 0, 0])):
            fail("Large logits in float16 overflow.")


@check(points=0.5, hint="Ask before you compute: k below 1, p of 0 or less or above 1, a temperature below 0.")
def refuses_bad_numbers():
    """Impossible values of k, p and the temperature are ValueErrors; those at the border are not."""
    def run(name, keywords):
        functions = {"keep_top_k": keep_top_k, "keep_top_p": keep_top_p, "next_distribution": next_distribution}
        try:
            functions[name](torch.tensor([0.0, 1.0, 2.0]), **keywords)
        except ValueError:
            return "refused"
        return "accepted"

    bad = [("keep_top_k", dict(k=0)), ("keep_top_k", dict(k=-1)), ("keep_top_p", dict(p=0.0)), ("keep_top_p", dict(p=-0.1)), ("keep_top_p", dict(p=1.01)),
           ("next_distribution", dict(temperature=-1.0)), ("next_distribution", dict(temperature=-0.01)), ("next_distribution", dict(top_k=0)), ("next_distribution", dict(top_p=0.0)), ("next_distribution", dict(top_p=1.5))]
    fine = [("keep_top_k", dict(k=1)), ("keep_top_k", dict(k=4)), ("keep_top_p", dict(p=1)), ("keep_top_p", dict(p=1e-6)), ("next_distribution", dict(temperature=0)), ("next_distribution", dict(top_k=1, top_p=1.0))]
    for cases, wanted in [(bad, "refused"), (fine, "accepted")]:
        for name, keywords in cases:
            if probe(run, name, keywords) != wanted:
                fail(f"{name} with {', '.join(f'{key} = {value}' for key, value in keywords.items())} is not {wanted}.")


class Spy(nn.Module):
    """Its next token depends on its whole input, and it notes how it is called."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.inner = nn.Dropout(0.5)
        self.lengths, self.modes, self.grads = [], set(), set()

    def forward(self, ids):
        self.lengths.append(ids.shape[1])
        self.modes.add(self.training or self.inner.training)
        self.grads.add(torch.is_grad_enabled())
        best = ((ids + 1) * torch.arange(1, ids.shape[1] + 1) ** 2).cumsum(1) % 50
        return self.inner(F.one_hot(best, 50) * 100.0) * self.scale


@check(points=1, hint="The last `context` tokens, counted anew in each step, and the logits at the last position. The prompt stays as it is, in front.")
def looks_at_the_last_tokens():
    """Each new token follows from the last `context` tokens, for long and short prompts and any batch."""
    def run(ids, n_new, context):
        model, given = Spy(), ids.clone()
        answer = generate(model, given, n_new, context, 0)
        return answer, torch.equal(given, ids), max(model.lengths, default=0)

    for batch, length, n_new, context in [(1, 1, 12, 5), (3, 9, 6, 4), (4, 4, 5, 4), (2, 6, 7, 100), (2, 3, 4, 1), (5, 5, 0, 3)]:
        ids = torch.randint(50, (batch, length))
        answer, kept, longest = probe(run, ids, n_new, context)
        rows = ids.tolist()
        for row in rows:
            for _ in range(n_new):
                row.append(sum((token + 1) * (i + 1) ** 2 for i, token in enumerate(row[-context:])) % 50)
        where = f"with prompts of {length}, {n_new} new tokens and a context of {context}"
        if not kept:
            fail(f"The prompt is changed {where}.")
        if longest > context:
            fail(f"The model is given {longest} tokens {where}.")
        if answer.dtype != torch.int64 or answer.tolist() != rows:
            fail(f"Other tokens {where}.")


@check(points=1, hint="model.eval() before, the old mode afterwards, torch.no_grad() around the loop only.")
def leaves_the_model_as_it_was():
    """The model evaluates without gradients; its mode, and the recording of gradients, are as before."""
    def run(training, recording):
        model = Spy()
        model.train(training)
        with torch.set_grad_enabled(recording):
            answer = generate(model, torch.tensor([[1, 2, 3]]), 4, 3)
            after = torch.is_grad_enabled()
        modes = [module.training for module in model.modules()]
        return modes, sorted(model.modes), sorted(model.grads), after, answer.is_inference()

    for training in (True, False):
        for recording in (True, False):
            modes, seen, grads, after, inference = probe(run, training, recording)
            if seen != [False]:
                fail("The model is in training mode while it writes.")
            if grads != [False]:
                fail("Gradients are recorded while the model writes.")
            if modes != [training] * len(modes):
                fail(f"A model in {'training' if training else 'evaluation'} mode is in the other one afterwards.")
            if after != recording:
                fail("Afterwards, gradients are recorded although they were not before, or the reverse.")
            if inference:
                fail("The result is a tensor of torch.inference_mode: a computation with gradients cannot use it.")


def chi_square(counts, expected):
    """Pearson's statistic over its bound for a false alarm of one in ten million; above 1 is too much."""
    kept = expected > 0
    if counts[~kept].sum() > 0:
        return math.inf
    return float(((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()) / stats.chi2.isf(1e-7, int(kept.sum()) - 1)


@check(points=1.5, hint="torch.multinomial on the probabilities, with the generator as it is, once for each new token: a new one in each step, or one draw for all rows, repeats itself.")
def draws_from_the_distribution():
    """Frequencies of tokens, of successive tokens and of tokens in neighbouring rows are those of the distribution."""
    def run(logits, rows, n_new, keywords):
        class Constant(nn.Module):
            def forward(self, ids):
                return logits.expand(*ids.shape, -1)

        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return generate(Constant(), torch.zeros(rows, 1, dtype=torch.int64), n_new, 5, generator=generator, **keywords)[:, 1:]

    logits = torch.tensor([0.3, 0.1, 0.25, 0.05, 0.2, 0.1]).log()
    for keywords in [dict(), dict(temperature=0.5), dict(top_k=3), dict(temperature=2.0, top_p=0.6)]:
        answer = probe(run, logits, 200, 20, keywords)
        p = truth_of(logits.double(), **keywords)
        n = answer.numel()
        if chi_square(torch.bincount(answer.flatten(), minlength=6), p * n) > 1:
            fail(f"The frequencies of {n} tokens are not those of the distribution" + (f" with {keywords}." if keywords else "."))
        for name, a, b in [("successive tokens of a row", answer[:, :-1], answer[:, 1:]), ("tokens of neighbouring rows", answer[:-1:2], answer[1::2])]:
            pairs = torch.bincount((a * 6 + b).flatten(), minlength=36)
            if chi_square(pairs, torch.outer(p, p).flatten() * a.numel()) > 1:
                fail(f"Pairs of {name} are not independent.")


@check(points=1, hint="Hand the generator on to torch.multinomial, make none of your own and seed nothing.")
def chance_comes_from_the_generator():
    """The same state of the generator gives the same tokens, a different state gives different ones; the next call goes on from there."""
    def run(seeds, global_seeds):
        def write(generator=None):
            model = Spy()
            model.scale.data.fill_(0.0)  # all 50 tokens are equally probable
            return generate(model, torch.tensor([[1], [2]]), 20, 8, generator=generator)[:, 1:].tolist()

        own = []
        for seed, global_seed in zip(seeds, global_seeds, strict=True):
            torch.manual_seed(global_seed)
            generator = torch.Generator().manual_seed(seed)
            own.append([write(generator), write(generator)])
        default = []
        for seed in global_seeds:
            torch.manual_seed(seed)
            default.append([write(), write()])
        return own, default

    own, default = probe(run, [1, 1, 2], [5, 6, 5])
    if own[0] != own[1]:
        fail("The same state of the generator gives other tokens.")
    if own[0] == own[2]:
        fail("A different state of the generator gives the same tokens.")
    if own[0][0] == own[0][1] or default[0][0] == default[0][1]:
        fail("Two calls after each other give the same tokens: something is seeded anew.")
    if default[0] != default[2] or default[0] == default[1]:
        fail("Without a generator, the tokens do not follow from torch.manual_seed.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Between boredom and nonsense
#
# Your `generate` writes 8 texts of 150 letters at each temperature. Counted are the shares of words that the documentation has and of
# different words. **Predict first.** Which way does each curve go from 0 to 4?

# %% tags=["demo"]
def show_temperatures(temperatures: tuple[float, ...], top_k: int | None = None, top_p: float | None = None) -> None:
    import re
    from pydoc_data.topics import topics

    documentation = "\n\n".join(topics.values())
    known = set(re.findall("[a-z]+", documentation.lower()))
    model = LetterModel(documentation[:100_000], order=4)
    start = model.encode("The ").expand(8, -1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2))
    shares, variety, samples = [], [], []
    try:
        for temperature in temperatures:
            generator = torch.Generator().manual_seed(0)
            rows = generate(model, start, 150, 4, temperature, top_k, top_p, generator)
            texts = [model.decode(row) for row in rows]
            words = [word for text in texts for word in re.findall("[a-z]+", text.lower())[:-1]]
            shares.append(sum(word in known for word in words) / len(words))
            variety.append(len(set(words)) / len(words))
            samples.append(" ".join(texts[0].split())[:90])
        after = model.after("The ")
        likely = after.softmax(-1).topk(8).indices
        bars = {"as counted": {}, "$T = 0.5$": {"temperature": 0.5}, "$k = 3$": {"top_k": 3}, "$p = 0.7$": {"top_p": 0.7}}
        for i, (name, arguments) in enumerate(bars.items()):
            heights = next_distribution(after, **arguments)[likely]
            left.bar(np.arange(8) + 0.2 * (i - 1.5), heights, 0.2, label=name)
    except NotImplementedError:
        plt.close(fig)
        print("These figures are made by your next_distribution and generate. Write them first.")
        return
    for temperature, sample in zip(temperatures, samples, strict=True):
        print(f"T = {temperature:<4} {sample}")
    left.set_xticks(range(8), labels=[repr(model.letters[i])[1:-1].replace(" ", "space") for i in likely.tolist()])
    left.set(title='Next letter after "The "', ylabel="probability")
    left.legend()
    right.plot(temperatures, shares, "o-", ms=4, label="words that the documentation has")
    right.plot(temperatures, variety, "s-", ms=4, label="different words among all")
    right.set(title="What is written", xlabel="temperature", ylim=(0, 1.02))
    right.legend(loc="lower right")
    plt.show()


show_temperatures((0, 0.5, 1, 2, 4))

# %% [markdown]
# At $T = 0$ all texts are the same circle, and nearly a fifth of the words are `sing`, which is not even in the documentation. At 0.5 nearly all words are known, but more than half are repetitions. At 4 most words are different, and fewer are known (four seeds).
#
# Here, a letter that was never seen in a place has probability zero at any temperature. A neural network gives **every** token a positive
# probability, and a high temperature raises the small ones: there, top-k and top-p are needed.
#
# **Your turn.** Change the last line to `show_temperatures((1, 4), top_p=0.5)`. Will $T = 4$ still write worse words than $T = 1$?
#
# <details><summary>Answer</summary>
#
# Hardly: 92 to 97 % are known at both (four seeds). A flat distribution needs more tokens to reach 0.5: top-p keeps few tokens where the model is sure and many where it is not.
# </details>
