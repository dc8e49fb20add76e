# %% [markdown]
# ## 7.8 What a model has learnt by heart
#
# A company trains a language model on its mail. One mail says "The code of Sorani is 4821". Has the model learnt this code? And can it be made to forget?
#
# The code may be the model's second guess, which it never writes. Carlini et al. (arXiv:1802.08232) measure it with **canaries**: made-up secrets, planted in the training text, some once, some often. Their format is a fixed beginning, the **prefix**, and then $L$ tokens out of $m$ **symbols**, the **filling**: four of ten digits give $N = m^L = 10{,}000$ fillings. The model's loss on each is
#
# $$\ell(s_1 \dots s_L) = -\sum_{i=1}^{L} \log p(s_i \mid \text{prefix}, s_1, \dots, s_{i-1}),$$
#
# with the model's probabilities among *all* tokens. If the planted filling has rank $r$ (1 is the most likely), its **exposure** is
#
# $$\log_2 N - \log_2 r .$$
#
# Its largest value is $\log_2 N$, here 13.3 bits. A model that has never seen the secret gives it a random rank, and so an exposure of about $1 / \ln 2 = 1.44$ bits on average, not 0. **Predict:** how often must a code stand in the training text before it can be read out: once, 4 times, 16 times?
#
# ### Fewer questions
#
# 10,000 fillings of 4 tokens seem to need 40,000 predictions. But their beginnings form a tree with only $1 + 10 + 100 + 1000 = 1{,}111$ contexts. One context is one row that the model reads: a **query**.
#
# An attacker needs fewer. The *greedy* way, always the most likely next digit, costs $L$ queries, and may miss the most likely filling: a first digit with probability 0.6 may continue in ten equally likely ways, one with 0.4 in a single one. Losses never fall along a path, which is what Dijkstra's algorithm needs: always go on from the beginning with the *lowest loss so far*. When a complete filling comes up, nothing that is left is more likely. That gives the best guess, then the second best, with proof.
#
# ### Forgetting
#
# Training again without the mail is sure, and expensive. **Unlearning** changes the trained weights. Gradient *ascent* on the secret has no end, and drives it towards the *least* likely filling, which is as easy to find: begin at the other end of the list. A target that can be reached: after the prefix, all symbols are equally likely. Meanwhile the model trains on ordinary text, to keep the rest.

# %% nbgrader={"grade": false, "grade_id": "setup_by_heart", "locked": true, "schema_version": 3, "solution": false, "task": false}
class PairModel(nn.Module):
    """A language model with known probabilities: the next token depends on the last one alone.

    Args:
        probabilities: (V, V); row i holds the probabilities of the token after token i.
    """

    def __init__(self, probabilities):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(probabilities).log())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, V) logits for the token after each."""
        return self.table[ids]


# %% [markdown]
# ### Exercise 7.8 · What a model has learnt by heart
#
# > **Difficulty** ★★★☆ · **60 minutes** · **12 points** · PyTorch
#
# **Write** four functions. A model maps (B, T) tokens to (B, T, V) logits for the token after each, as the course's GPT does. Arguments other than the trained model are not to be modified.
#
# <details><summary>Hint 1: from one level of the tree to the next</summary>
#
# From (R, T) beginnings and their (R,) losses: take the logits at the last position, `log_softmax` over all tokens, then the columns of the symbols. The losses of the next level are `losses[:, None] - chosen`. `repeat_interleave` repeats each beginning m times.
# </details>
#
# <details><summary>Hint 2: Dijkstra's algorithm</summary>
#
# `heapq.heappush(heap, (loss, filling))` and `heapq.heappop(heap)`, which gives the smallest. Start with `(0.0, ())`.
# </details>
#
# <details><summary>Hint 3: the secrets</summary>
#
# Go through them one by one: `model(torch.tensor([secret[:-1]]))[0, -length:]` predicts the tokens of a filling.
# </details>

# %% nbgrader={"grade": false, "grade_id": "by_heart", "locked": false, "schema_version": 3, "solution": true, "task": false}
def filling_losses(model: nn.Module, prefix: list[int], symbols: list[int], length: int) -> torch.Tensor:
    """The losses of all fillings, each beginning asked about once.

    The model reads at most 1 + m + ... + m ** (length - 1) rows in all, in as few or as many calls as you like. It
    runs in evaluation mode and under torch.no_grad, and is in its former mode afterwards.

    Args:
        model: all its parts are in one mode, training or evaluation.
        prefix: at least one token.
        symbols: m different tokens, in any order.
        length: of a filling, at least 1.

    Returns:
        (m, ..., m), with `length` axes, in 32 or 64 bits. The entry [i, j, ...] is the loss, in nats, of the filling
        symbols[i], symbols[j], ...: the sum over its tokens, each predicted from all before it, with
        probabilities among all V tokens. It is infinite where the model excludes a token (logit -inf).

    >>> filling_losses(model, [5], symbols=[1, 2], length=3).shape
    torch.Size([2, 2, 2])
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    rows, losses = torch.tensor([prefix]), torch.zeros(1)
    with torch.no_grad():
        for place in range(length):
            if place:
                rows = torch.cat([rows.repeat_interleave(len(symbols), 0), torch.tensor(symbols).repeat(len(rows))[:, None]], 1)
            chosen = F.log_softmax(model(rows)[:, -1], -1)[:, symbols]
            losses = (losses[:, None] - chosen).flatten()
    model.train(was_training)
    return losses.reshape([len(symbols)] * length)
    ### END SOLUTION


def exposure(loss: float, others: torch.Tensor | np.ndarray | list[float]) -> float:
    """How many bits the model reveals about a secret, from its loss and those of other fillings.

    That is log2((n + 1) / r), where r is 1 plus the number of the n other fillings whose loss is
    not larger than the secret's: among equals, the secret comes last. With all other
    fillings it is exact, with a random sample of them an estimate.

    Args:
        others: the n losses, of any shape, without the secret's own; n may be 0. Losses may be infinite. Two
            losses that differ, the secret's included, also differ in 32 bits.

    Raises:
        ValueError: a loss is NaN, the secret's or another one.

    >>> exposure(2.0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])  # the third of eight
    1.415037499278844
    """
    ### BEGIN SOLUTION
    others = np.asarray(others)
    if np.isnan(others).any() or np.isnan(loss):
        raise ValueError("a loss is NaN")
    rank = 1 + int((others <= loss).sum())
    return math.log2((others.size + 1) / rank)
    ### END SOLUTION


def extract(model: nn.Module, prefix: list[int], symbols: list[int], length: int, n: int, max_queries: int) -> tuple[list[list[int]], int]:
    """The n most likely fillings, the most likely first, with few queries.

    A query is one row that the model reads: the prefix and a beginning (0 to length - 1 symbols). Make at most
    `max_queries`, ask about no beginning twice, and about none whose loss is larger than that of the n-th most likely
    filling (of the last one, if there are fewer than n). What is returned is certain: no filling that is left out is
    more likely. If the queries do not suffice, return those fillings whose place is certain once the `max_queries` beginnings
    with the lowest losses are known. Where losses are equal, the order is yours.

    Args:
        prefix, symbols, length: as for `filling_losses`; the model runs as there.
        n: at least 1; if there are fewer fillings, all are returned.
        max_queries: 0 or more.

    Returns:
        The fillings, lists of tokens, and the number of queries made.

    >>> guesses, queries = extract(model, prefix, symbols=list(range(48, 58)), length=4, n=3, max_queries=500)
    """
    ### BEGIN SOLUTION
    import heapq

    was_training = model.training
    model.eval()
    heap, guesses, queries = [(0.0, ())], [], 0
    while heap and len(guesses) < n:
        loss, filling = heapq.heappop(heap)
        if len(filling) == length:
            guesses.append(list(filling))
            continue
        if queries == max_queries:
            break
        queries += 1
        with torch.no_grad():
            chosen = F.log_softmax(model(torch.tensor([[*prefix, *filling]]))[0, -1], -1)[symbols]
        for symbol, log_probability in zip(symbols, chosen.tolist(), strict=True):
            heapq.heappush(heap, (loss - log_probability, (*filling, symbol)))
    model.train(was_training)
    return guesses, queries
    ### END SOLUTION


def unlearn(model: nn.Module, secrets: list[list[int]], length: int, symbols: list[int], keep: torch.Tensor, lr: float = 1e-3) -> list[float]:
    """Trains a model until all symbols are equally likely where secrets stand, and it still knows the rest.

    Makes one step of torch.optim.Adam, with the defaults and this lr, for each batch of `keep`, in order. The loss of a step is the
    sum of two means, in nats:
    - over all tokens of the secrets' fillings: the cross-entropy between the uniform distribution over the symbols and the
      model's prediction (among all V tokens) at that place, made from the secret's own tokens before it;
    - over all tokens of the batch but the first of each row: the usual cross-entropy of the next token.

    Args:
        model: is trained, in evaluation mode (no dropout); is in its former mode afterwards. Gradients that it
            has from before do not count.
        secrets: at least one; each is a prefix and then a filling of `length` tokens; prefixes may have different lengths.
        keep: (steps, B, T) tokens of ordinary text.

    Returns:
        The loss of each step, before its update, without its graph.

    >>> losses = unlearn(model, [[5, 6, 1, 2], [7, 1, 1]], length=2, symbols=[1, 2, 3], keep=windows)
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for windows in keep:
        forget = 0.0
        for secret in secrets:
            logits = model(torch.tensor([secret[:-1]]))[0, -length:]
            forget = forget - F.log_softmax(logits, -1)[:, symbols].mean() / len(secrets)
        logits = model(windows[:, :-1])
        loss = forget + F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.train(was_training)
    return losses
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_by_heart", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)

# Token 0 is the prefix. After it, 1 is the likelier symbol, but 2 has a sure continuation; token 3 is none of the symbols.
MISLEADING = [[0.0, 0.5, 0.3, 0.2], [0.0, 0.5, 0.5, 0.0], [0.0, 0.1, 0.9, 0.0], [1.0, 0.0, 0.0, 0.0]]


@check(points=0.75, hint="Sum -log p over the filling's tokens. The probabilities are those among all tokens: the prefix is followed by token 3 in a fifth of all cases.")
def losses_by_hand():
    """By hand: the fillings 11, 12, 21 and 22 have the probabilities 0.25, 0.25, 0.03 and 0.27."""
    found = probe(lambda: filling_losses(PairModel(MISLEADING), [0], [1, 2], 2))
    assert tuple(found.shape) == (2, 2), f"shape {tuple(found.shape)} instead of (2, 2)"
    assert np.allclose(np.exp(-np.asarray(found)), [[0.25, 0.25], [0.03, 0.27]], atol=1e-5), f"probabilities {np.exp(-np.asarray(found)).round(3).tolist()}"


@check(points=0.75, hint="Count the others that are not larger, add 1 for the secret itself, and take the logarithm to base 2 of (n + 1) / rank.")
def exposure_by_hand():
    """By hand: the fourth of eight fillings has the exposure 1, the first 3; one of two equals comes last."""
    for loss, others, truth in ((3.5, [1, 2, 3, 4, 5, 6, 7], 1.0), (0.5, [1, 2, 3, 4, 5, 6, 7], 3.0), (1.0, [1, 2, 3], 1.0)):
        found = exposure(loss, [float(other) for other in others])
        assert abs(found - truth) < 1e-9, f"exposure({loss}, {others}) is {found:.4f} instead of {truth}"


@check(points=0.75, hint="The most likely first symbol is not the beginning of the most likely filling. Keep all beginnings, and go on from that with the lowest loss.")
def extracts_by_hand():
    """By hand: the best guess is 22, although 1 is the likelier first symbol; it takes three queries, the prefix, 1 and 2."""
    guesses, queries = probe(lambda: extract(PairModel(MISLEADING), [0], [1, 2], 2, 1, 100))
    assert [list(map(int, guess)) for guess in guesses] == [[2, 2]], f"the guesses are {guesses} instead of [[2, 2]]"
    assert queries == 3, f"{queries} queries instead of 3"


@check(points=0.75, hint="At each place of the filling, the target is 1 / m for each symbol. The prediction for a token stands at the place before it.")
def unlearns_by_hand():
    """By hand: a step of size 0.5 raises the less likely symbols after the prefix by 0.5 and lowers the secret's; other rows of the table stay."""
    table = [[0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [0.4, 0.3, 0.3]]

    def run(table):
        model = PairModel(table)
        before = model.table.detach().clone()
        losses = unlearn(model, [[2, 0, 1]], 1, [0, 1, 2], torch.full((1, 1, 2), 1), 0.5)
        return losses, model.table.detach() - before

    losses, change = probe(run, table)
    # The text that is kept is the token 1 twice: its own gradient raises that token after token 1.
    truth = np.array([[0.5, -0.5, 0.5], [-0.5, 0.5, -0.5], [0, 0, 0]])
    assert np.allclose(change, truth, atol=1e-3), f"the logits changed by {np.asarray(change).round(2).tolist()} instead of {truth.tolist()}"
    loss = -np.log([0.1, 0.8, 0.1]).mean() - math.log(0.25)
    assert len(losses) == 1 and abs(losses[0] - loss) < 1e-4, f"the losses are {losses} instead of [{loss:.4f}]"


### BEGIN HIDDEN TESTS
import itertools
from functools import cache


def small_gpt(seed, dropout=0.0, width=16):
    """The course's GPT, small, with weights so large that each token and place matters."""
    from autograder.gpt import GPT

    torch.manual_seed(seed)
    model = GPT(vocabulary=24, context=12, width=width, layers=2, heads=2, dropout=dropout).double().eval()
    with torch.no_grad():
        model.tokens.weight *= 20
        model.positions.weight *= 20
    return model


@cache
def every_filling(seed, prefix, symbols, length):
    """The losses of all fillings, each computed by itself from its whole sequence."""
    fillings = torch.tensor(list(itertools.product(symbols, repeat=length)))
    rows = torch.cat([torch.tensor(prefix).expand(len(fillings), -1), fillings], 1)
    with torch.no_grad():
        logits = small_gpt(seed)(rows[:, :-1])[:, -length:]
    return F.cross_entropy(logits.flatten(0, 1), fillings.flatten(), reduction="none").view(-1, length).sum(1).numpy()


LARGE = (6, (4,), (3, 0, 6, 1, 7, 2, 5, 4), 4)  # 4,096 fillings, 585 beginnings
CASES = [(1, (3, 7, 7, 20), (9, 4, 22), 4), (2, (5,), (0, 23), 5), (3, (8, 1), (2, 3, 5, 7, 11, 13), 1), (4, (6, 6), (17,), 3), (5, (23, 0, 2), tuple(range(24)), 2)]


@check(points=1.5, hint="All tokens before count as context, in order; neither the prefix's own loss nor a mean per token belongs into the result; the axes follow the order of `symbols`.")
def agrees_with_every_filling():
    """On a GPT, the losses are those of all fillings computed one by one: any order of symbols, any lengths; infinite where excluded."""
    def run(cases):
        answers = []
        for seed, start, letters, length in cases:
            prefix, symbols = list(start), list(letters)
            found = filling_losses(small_gpt(seed), prefix, symbols, length)
            answers.append((found.double().numpy(), prefix, symbols))
        return answers

    for (seed, prefix, symbols, length), (found, *after) in zip(CASES, probe(run, CASES), strict=True):
        if found.shape != (len(symbols),) * length:
            fail(f"The shape for {len(symbols)} symbols and length {length} is {found.shape}.")
        if not np.allclose(found.ravel(), every_filling(seed, prefix, symbols, length), atol=1e-4):
            fail(f"Wrong for {len(symbols)} symbols, a prefix of {len(prefix)} and fillings of {length} tokens.")
        if after != [list(prefix), list(symbols)]:
            fail("An argument was modified.")
    found = np.asarray(probe(lambda: filling_losses(PairModel([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), [0], [0, 1, 2], 2)))
    with np.errstate(divide="ignore"):
        truth = -np.log([[0.25, 0.25, 0], [0, 0.25, 0.25], [0, 0, 0]])
    if not np.allclose(found, truth, atol=1e-5):
        fail("Wrong where the model excludes tokens.")


def counted(model):
    """The model, and a list that grows by each row that it reads."""
    rows = []
    model.register_forward_pre_hook(lambda _, inputs: rows.extend(tuple(row) for row in inputs[0].tolist()))
    return rows


@check(points=1, hint="Ask about each beginning once, on each level of the tree; a complete filling needs no prediction after it.")
def asks_about_each_beginning_once():
    """filling_losses has the model read one row for each beginning, and no others."""
    def run(cases):
        answers = []
        for seed, prefix, symbols, length in cases:
            model = small_gpt(seed)
            rows = counted(model)
            filling_losses(model, list(prefix), list(symbols), length)
            answers.append(len(rows))
        return answers

    for (_, _, symbols, length), rows in zip(CASES, probe(run, CASES), strict=True):
        if rows > sum(len(symbols) ** place for place in range(length)):
            fail(f"{rows} rows were read for {len(symbols)} symbols and length {length}: more than there are beginnings.")


@check(points=1, hint="model.eval() before, model.train(was_training) after; torch.no_grad() around the model.")
def leaves_the_model_as_it_was():
    """filling_losses and extract switch dropout off and restore the mode; no graph, no gradient; extract changes no argument."""
    def run(training):
        model = small_gpt(1, dropout=0.4).train(training)
        gradients_on = []
        model.register_forward_hook(lambda _, inputs, output: gradients_on.append(output.requires_grad))
        prefix, symbols = [3, 7, 7, 20], [9, 4, 22]
        losses = filling_losses(model, prefix, symbols, 4)
        modes = [model.training]
        guesses, _ = extract(model, prefix, symbols, 4, 3, 1000)
        modes += [model.training]
        return losses.detach().numpy(), modes, any(gradients_on), bool(losses.requires_grad), guesses, prefix, symbols

    truth = every_filling(*CASES[0])
    best = [list(np.array(CASES[0][2])[list(np.unravel_index(i, (3,) * 4))]) for i in np.argsort(truth)[:3]]
    for training in (True, False):
        losses, modes, graph, attached, guesses, prefix, symbols = probe(run, training)
        if modes != [training, training]:
            fail("The model is in another mode afterwards.")
        if not np.allclose(losses.ravel(), truth, atol=1e-4) or [list(guess) for guess in guesses] != best:
            fail("Dropout was on, or the answer is wrong.")
        if graph or attached:
            fail("The model ran with gradients: a graph is built that nobody needs.")
        if (list(prefix), list(symbols)) != ([3, 7, 7, 20], [9, 4, 22]):
            fail("An argument was modified.")


@check(points=1, hint="Equal losses count against the secret; no others: rank 1 of 1. Comparisons with NaN are false, so NaN must be looked for.")
def exposure_at_the_edges():
    """Where all fillings are equally likely the exposure is 0; no others, infinite losses, tensors of several axes; NaN is refused."""
    infinite = float("inf")
    cases = [
        (1.0, torch.ones(10, 10), 0.0), (1.0, [], 0.0), (infinite, [1.0, infinite, 2.0], 0.0), (1.0, [infinite] * 3, 2.0),
        (0.25, np.array([[0.25, 0.5], [0.75, 0.125], [1.0, 2.0], [3.0, 4.0]]), math.log2(3)), (-2.0, np.array([-3, -1, 0]), 1.0),
    ]
    answers = probe(lambda pairs: [float(exposure(*pair)) for pair in pairs], [case[:2] for case in cases])
    for (_, others, truth), found in zip(cases, answers, strict=True):
        if not abs(found - truth) < 1e-9:
            fail(f"Wrong for {np.size(others)} other losses{', some infinite' if np.isinf(np.asarray(others)).any() else ''}.")

    def refused(loss, others):
        try:
            exposure(loss, others)
        except ValueError:
            return True
        return False

    for loss, others in ((1.0, [2.0, math.nan]), (math.nan, [1.0, 2.0]), (math.nan, []), (1.0, torch.tensor([[math.nan, 3.0]]))):
        if not probe(refused, loss, others):
            fail("A loss that is NaN has to raise ValueError.")


@check(points=0.5, hint="log2((n + 1) / rank), in bits; n is the number of others, all of them or a sample.")
def exposure_of_all_and_of_samples():
    """For each filling of a set in turn, the exposure agrees with SciPy's ranks; with samples it is log2 of (1 + n) / (1 + count)."""
    from scipy.stats import rankdata

    generator = np.random.default_rng(np.random.randint(2**31))
    # Multiples of 1/1024 are exact in 32 bits, too.
    losses = generator.permutation(np.r_[np.round(generator.normal(9, 2, 200) * 1024) / 1024, generator.integers(5, 12, 56)])
    samples = [generator.choice(losses, 63) for _ in range(20)]

    def run(losses, samples):
        everyone = [float(exposure(float(loss), np.delete(losses, i))) for i, loss in enumerate(losses)]
        return everyone, [float(exposure(float(losses[0]), sample)) for sample in samples]

    everyone, sampled = probe(run, losses, samples)
    if not np.allclose(everyone, 8 - np.log2(rankdata(losses, method="max")), atol=1e-9):
        fail("Wrong for 256 fillings, some of them equally likely.")
    truth = [6 - math.log2(64 - np.count_nonzero(sample > losses[0])) for sample in samples]
    if not np.allclose(sampled, truth, atol=1e-9):
        fail("Wrong for a sample of 63 other fillings.")


def expected_search(case, n, max_queries):
    """The order of all fillings, how many are certain within the queries, and how many queries these or all n need."""
    seed, prefix, symbols, length = case
    ends = np.sort(every_filling(*case))
    starts = [[0.0]] + [every_filling(seed, prefix, symbols, place) for place in range(1, length)]
    starts = np.sort(np.concatenate(starts))
    needed = [int(np.count_nonzero(starts < end)) for end in ends[:n]]
    return sum(queries <= max_queries for queries in needed), needed[-1], len(starts)


SEARCHES = [(case, n, budget) for case in CASES[:4] for n, budget in ((1, 10**6), (3, 10**6), (10**6, 10**6), (5, 0), (5, 1), (5, 7), (20, 13), (40, 30))]
SEARCHES += [(CASES[4], 300, 10**6), (LARGE, 10**6, 300)]


@cache
def searched():
    """What extract returns, and the rows that the model has read."""
    def run(searches):
        answers = []
        for (seed, prefix, symbols, length), n, budget in searches:
            model = small_gpt(seed)
            rows = counted(model)
            guesses, queries = extract(model, list(prefix), list(symbols), length, n, budget)
            answers.append(([list(map(int, guess)) for guess in guesses], int(queries), rows))
        return answers

    return probe(run, SEARCHES)


@check(points=1.5, hint="The heap holds beginnings and complete fillings together; a complete one counts when it comes out, not when it goes in.")
def guesses_in_the_right_order():
    """extract gives the most likely fillings in order, as many as are certain within the queries, and no others."""
    for (case, n, budget), (guesses, _, _) in zip(SEARCHES, searched(), strict=True):
        _, _, symbols, length = case
        fillings = list(itertools.product(symbols, repeat=length))
        order = np.argsort(every_filling(*case), kind="stable")
        certain, _, _ = expected_search(case, n, budget)
        if guesses != [list(fillings[i]) for i in order[:certain]]:
            fail(f"Wrong for {len(symbols)} symbols, length {length}, n = {n:,} and {budget:,} queries.")
    # 11 and 12 have the probability 0.25, 22 has 0.5; 21 is excluded, and comes last.
    found, _ = probe(lambda: extract(PairModel([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]), [0], [1, 2], 2, 10, 100))
    found = [list(map(int, guess)) for guess in found]
    if found[:1] + found[3:] != [[2, 2], [2, 1]] or sorted(found) != [[1, 1], [1, 2], [2, 1], [2, 2]]:
        fail("Wrong where the model excludes a filling and all are asked for.")


@check(points=1, hint="A query is a row, not a call. Stop as soon as the n-th filling is certain, and before a query that would be one too many.")
def spends_few_queries():
    """extract reports the rows that the model has read: at most `max_queries`, each once, and none beyond the n-th most likely filling."""
    for (case, n, budget), (_, queries, rows) in zip(SEARCHES, searched(), strict=True):
        _, needed, _ = expected_search(case, n, budget)
        where = f"for {len(case[2])} symbols, length {case[3]}, n = {n:,} and {budget:,} queries"
        if queries != len(rows):
            fail(f"{len(rows)} rows were read and {queries} queries reported {where}.")
        if len(rows) > budget:
            fail(f"More rows were read than allowed {where}.")
        if len(rows) > needed or len(set(rows)) < len(rows):
            fail(f"Rows were read that tell nothing new {where}.")

    def run():
        model = PairModel(torch.full((4, 4), 0.25))
        rows = counted(model)
        guesses, queries = extract(model, [0], [1, 2, 3], 3, 27, 100)
        return sorted(map(tuple, guesses)), queries, len(rows)

    guesses, queries, rows = probe(run)
    if guesses != sorted(itertools.product((1, 2, 3), repeat=3)) or queries != rows or rows > 13:
        fail("Wrong where all fillings are equally likely and all are asked for.")


SECRETS = [[3, 7, 7, 20, 9, 4], [5, 22, 9], [1, 2, 3, 4, 5, 6, 4, 4]]


def trained(dropout=0.0, training=False, stale=False):
    """The losses and the weights after unlearn, the mode and the arguments afterwards, and whether a loss has kept its graph."""
    def run(secrets, dropout, training, stale):
        model = small_gpt(7, dropout, width=8).train(training)
        if stale:
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
        generator = torch.Generator().manual_seed(0)
        keep = torch.randint(24, (4, 3, 9), generator=generator)
        before = keep.clone()
        losses = unlearn(model, secrets, 2, [9, 4, 22], keep, 0.01)
        weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        graph = any(torch.is_tensor(loss) and loss.requires_grad for loss in losses)
        return [float(loss) for loss in losses], weights.numpy(), model.training, secrets, bool((keep == before).all()), graph

    return probe(run, [list(secret) for secret in SECRETS], dropout, training, stale)


@cache
def trained_by_hand():
    """Another way to the same: rows filled up on the right, the target as a distribution over all tokens, Adam by hand."""
    model = small_gpt(7, width=8)
    keep = torch.randint(24, (4, 3, 9), generator=torch.Generator().manual_seed(0))
    rows = torch.zeros(len(SECRETS), 8, dtype=torch.int64)
    counts = torch.zeros(len(SECRETS), 8)
    for i, secret in enumerate(SECRETS):
        rows[i, : len(secret)] = torch.tensor(secret)
        counts[i, len(secret) - 3 : len(secret) - 1] = 1
    target = torch.zeros(24, dtype=torch.float64)
    target[[4, 9, 22]] = 1 / 3
    parameters, losses = list(model.parameters()), []
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step, windows in enumerate(keep, 1):
        each = -(model(rows).log_softmax(-1) * target).sum(-1)
        ordinary = -model(windows)[:, :-1].log_softmax(-1).gather(-1, windows[:, 1:, None]).mean()
        loss = each[counts > 0].mean() + ordinary
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p.sub_(0.01 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    return losses, torch.cat([p.detach().flatten() for p in parameters]).numpy()


@check(points=1, hint="Two means, added. Only the filling's places count, not the prefix's; one Adam for all steps; new gradients in each step.")
def unlearns_like_a_loop_by_hand():
    """Four steps on a GPT, with secrets of different lengths, give the losses and weights of a calculation by hand; the losses have no graph, the arguments stay as they are."""
    losses, weights, _, secrets, kept, graph = trained()
    true_losses, true_weights = trained_by_hand()
    if len(losses) != 4 or not np.allclose(losses, true_losses, atol=1e-4):
        fail("The losses are wrong.")
    if not np.allclose(weights, true_weights, atol=1e-4):
        fail("The weights are wrong after four steps.")
    if secrets != SECRETS or not kept:
        fail("An argument was modified.")
    if graph:
        fail("The losses that are returned keep their graphs, and with them all that was computed: item() or detach().")


@check(points=0.5, hint="model.eval() before, the old mode after; zero_grad before the first step, too.")
def unlearns_without_dropout():
    """unlearn trains without dropout and restores the mode; gradients from before do not count."""
    for training in (True, False):
        losses, weights, mode, *_ = trained(dropout=0.4, training=training, stale=True)
        if mode != training:
            fail("The model is in another mode afterwards.")
        if not (np.allclose(losses, trained_by_hand()[0], atol=1e-4) and np.allclose(weights, trained_by_hand()[1], atol=1e-4)):
            fail("Dropout was on, old gradients counted, or the result is wrong.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# The course's GPT trains on with a little of its text, about nine passes, with 28 codes planted in it: four each for 0, 1, 2, 4, 8, 16 and 32 times. This takes up to a minute.

# %% tags=["demo", "nbval-ignore-output"]
class Canaries:
    """Made-up codes: "The code of Sorani is 4821." Digits are single tokens, the bytes 48 to 57."""

    def __init__(self, tokenizer, n, seed):
        self.digits = list(range(48, 58))
        generator = np.random.default_rng(seed)
        self.names = ["".join(generator.choice(list("bdfgklmnprst")) + generator.choice(list("aeiou")) for _ in range(3)).capitalize() for _ in range(n)]
        self.prefixes = [tokenizer.encode(f"\n\nThe code of {name} is ") for name in self.names]
        self.codes = generator.integers(0, 10, (n, 4)).tolist()
        self.end = tokenizer.encode(".\n\n")

    def tokens(self, i):
        """The prefix and the planted filling."""
        return self.prefixes[i] + [48 + digit for digit in self.codes[i]]

    def exposure(self, model, i):
        """By the learner's functions."""
        losses = filling_losses(model, self.prefixes[i], self.digits, 4).flatten()
        place = int("".join(map(str, self.codes[i])))
        return exposure(float(losses[place]), torch.cat([losses[:place], losses[place + 1 :]]))


def train_with_canaries(counts=(0, 1, 2, 4, 8, 16, 32), each=4, n_text=30_000, steps=300, seed=0):
    """The course's GPT, trained on with planted codes; also the canaries and two streams of ordinary text."""
    from autograder import gpt

    language_model = lesson.gpt()
    text, validation = (torch.tensor(language_model.tokenizer.encode(part)) for part in lesson.corpus())
    canaries = Canaries(language_model.tokenizer, each * len(counts), seed)
    generator = np.random.default_rng(seed)
    planted = generator.permutation([i for i in range(each * len(counts)) for _ in range(counts[i // each])]).tolist()
    cuts = np.sort(generator.integers(0, n_text, len(planted))).tolist()
    stream, last = [], 0
    for cut, i in zip(cuts, planted, strict=True):
        stream += text[last:cut].tolist() + canaries.tokens(i) + canaries.end
        last = cut
    stream = torch.tensor(stream + text[last:n_text].tolist())
    gpt.train(language_model.model, gpt.make_optimizer(language_model.model, steps, rate=2e-3), stream, validation[:4096], steps, every=steps, seed=seed)
    print(f"{steps * 16 * 64 / len(stream):.1f} passes over {len(stream):,} tokens")
    return language_model.model.eval(), canaries, text[n_text:], validation[:4096]


def draw_by_heart(counts=(0, 1, 2, 4, 8, 16, 32), each=4):
    exposure(1.0, [])  # the quickest way to find out whether there is an answer
    model, canaries, text, validation = train_with_canaries(counts, each)
    bits = np.array([canaries.exposure(model, i) for i in range(each * len(counts))]).reshape(-1, each)
    tries = {}
    for i in range(each * len(counts)):
        guesses, queries = extract(model, canaries.prefixes[i], canaries.digits, 4, 1, 1111)
        tries.setdefault(counts[i // each], []).append((guesses[0] == canaries.tokens(i)[-4:], queries))
    _, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.3))
    places = np.arange(len(counts))
    for column in range(each):
        left.plot(places, bits[:, column], "o", color="0.6", ms=4, label="one code" if not column else None)
    left.plot(places, bits.mean(1), "s-", color="C0", ms=5, label="mean")
    left.axhline(math.log2(10_000), color="k", lw=1, ls=":", label="largest possible")
    left.axhline(1 / math.log(2), color="C1", lw=1, ls="--", label="random rank, on average")
    left.set(title="What the model knows", xlabel="times in the text", ylabel="exposure, in bits", ylim=(-0.5, 15.5))
    left.set_xticks(places, [str(count) for count in counts])
    left.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 0.85))
    right.bar(places, [100 * np.mean([hit for hit, _ in tries[count]]) for count in counts], color="C2", hatch="//")
    for place, count in enumerate(counts):
        right.text(place, 4 + 100 * np.mean([hit for hit, _ in tries[count]]), f"{np.mean([queries for _, queries in tries[count]]):.0f}", ha="center", fontsize=9)
    right.set(title="First guess correct; numbers: mean queries", xlabel="times in the text", ylabel="codes, in %", ylim=(0, 118))
    right.set_xticks(places, [str(count) for count in counts])
    plt.show()
    return model, canaries, text, validation


try:
    by_heart_state = draw_by_heart()
except NotImplementedError:
    print("This figure needs your functions of exercise 7.8.")

# %% [markdown]
# **Left:** equal counts may lie several bits apart, so one canary for each would say little. **Right:** with five seeds (packaged GPT), no code planted up to 4 times was the best guess, 13 of 20 planted 16 times, and 19 of 20 planted 32 times. The proof took 4 to 19 queries on average, of 1,111.
#
# ### Can it forget?
#
# The eight codes planted most often shall be forgotten: by gradient ascent on them alone (20 steps), or by your `unlearn` (40 steps). Then four of them are taught again (20 steps). **Predict:** does the memory of the *other* four come back?

# %% tags=["demo", "nbval-ignore-output"]
def draw_forgetting(state, n=8, steps=40):
    import copy

    from autograder import gpt

    model, canaries, text, validation = state
    secrets = list(range(len(canaries.names) - n, len(canaries.names)))
    windows = torch.stack([text[65 * i : 65 * i + 65] for i in range(16 * steps)]).view(steps, 16, 65)

    def on_codes(model, chosen, steps, sign):
        model = copy.deepcopy(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            for i in chosen:
                ids = torch.tensor([canaries.tokens(i)])
                (sign * F.cross_entropy(model(ids[:, :-1])[0, -4:], ids[0, -4:]) / len(chosen)).backward()
            optimizer.step()
        return model

    unlearned = copy.deepcopy(model)
    unlearn(unlearned, [canaries.tokens(i) for i in secrets], 4, canaries.digits, windows)
    models = {
        "before": model,
        "gradient\nascent": on_codes(model, secrets, steps // 2, -1),
        "unlearn": unlearned,
        "four taught\nagain": on_codes(unlearned, secrets[: n // 2], steps // 2, 1),
    }
    _, ax = plt.subplots(figsize=(8.5, 3.4))
    for place, (name, which) in enumerate(models.items()):
        bits = [canaries.exposure(which, i) for i in secrets]
        for group, (shift, marker) in enumerate(((-0.08, "o"), (0.08, "^"))):
            values = bits[: n // 2] if group == 0 else bits[n // 2 :]
            label = ("taught again at the end", "the others")[group]
            ax.plot(place + shift + np.linspace(-0.03, 0.03, len(values)), values, marker, color=f"C{group}", ms=6, label=label if not place else None)
        print(f"{name.replace(chr(10), ' '):20s} exposure {np.mean(bits[: n // 2]):6.3f} and {np.mean(bits[n // 2 :]):6.3f} bits; loss on new text {gpt.evaluate(which, validation):.3f} nats per token")
    ax.axhline(1 / math.log(2), color="k", lw=1, ls="--", label="random rank, on average")
    ax.set(title="Exposure of eight codes", ylabel="bits", xlim=(-0.5, 3.5), ylim=(-0.7, 15))
    ax.set_xticks(range(4), list(models))
    ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()


try:
    draw_forgetting(by_heart_state)
except (NameError, NotImplementedError):
    print("This figure needs your functions of exercise 7.8.")

# %% [markdown]
# A code with an exposure of 0 is the *least* likely of all 10,000. With each of five seeds, gradient ascent put some codes there, or close to it, and spoilt the model: the loss on new text rose from below 2.6 to above 3.2. `unlearn` brought the means to 2 to 3 bits, for at most 0.04 nats on new text.
#
# If the codes *not* taught again rise, too, they were hidden, not gone. With three of five seeds all four stayed below 5 bits; with two, one of them rose to 9 or 10. For large models, Hu et al. (arXiv:2406.13356) bring forgotten knowledge back with little and only loosely related text.
#
# ### The real thing
#
# Carlini et al. (arXiv:2012.07805) extracted names, addresses and numbers from GPT-2 without a prefix: they had it write a great deal, and sorted that by how much more likely GPT-2 found it than another model did. Nasr et al. (arXiv:2311.17035) got training text from ChatGPT, too. What helps comes before training: remove repeated text, let nobody's text count for much (7.6).
#
# **Change, predict, run.** In `Canaries.exposure`, hand over a random 99 of the other losses instead of all 9,999, and draw the first figure again. Which codes now get a wrong value?
#
# <details><summary>Answer</summary>
#
# Those that are remembered well: no value can exceed $\log_2 100 = 6.6$ bits. Low exposures change only by some noise.
# </details>
