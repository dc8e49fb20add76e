# %% [markdown]
# ## 6.8 Contamination
#
# A model answers 90 % of a public benchmark correctly. Can it solve such questions, or has it seen these? Three methods ask: the overlap of n-grams (which needs the training data), the order test (the model's probabilities) and rephrased questions (answers only). **Predict**, for each: how could a model be trained on the test undetected?
#
# ### Overlap
#
# How many of a test example's sequences of $n$ tokens occur in the training data? For GPT-3, an example was called clean if it shared no sequence of (roughly) 13 words with them (arXiv:2005.14165). Yang et al. (arXiv:2311.04850) trained a model of 13 billion parameters on *rephrased* test questions: it reached the level of GPT-4, and n-grams did not show it.
#
# ### Order
#
# To a model that has never seen the file, its order is one like all others; one that has read it may find example 8 more probable after example 7 than after example 30. So Oren et al. (arXiv:2310.17623) compare the log-probability of the file as published, $T_0$, with that of $m$ random orders, $T_1, \dots, T_m$:
#
# $$p = \frac{1 + \#\{j \ge 1 : T_j \ge T_0\}}{1 + m} .$$
#
# Without contamination, and if no order is special beforehand, all ranks of $T_0$ among the $m + 1$ numbers are equally likely. So $p \le \alpha$ happens with probability $\alpha$ at most, **exactly**, for any model. The 1 in the numerator is $T_0$ itself: without it, $p$ could be 0.
#
# A context window does not hold a whole file. So the file is cut into **shards**; each is shuffled within itself, and their log-probabilities are added.
#
# ### Rephrasing
#
# Have each question written anew, $k$ times, and compare within each question, as in 6.4. A question's *drop* is its result (1 if correct) minus the mean over its rephrasings. The **gap** is the mean of the drops.
#
# But new wordings can also be harder. A **reference** model that cannot have seen the test shows by how much: subtract its drops.

# %% [markdown]
# ### Exercise 6.8 · Contamination
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **11 points** · NumPy
#
# **Write** three functions. Arguments are not to be modified.
#
# <details><summary>Hint 1: n-grams, and shards</summary>
#
# `tuple(tokens[i : i + n])` can be put into a set, document by document. Shard `s` is `examples[s * size : (s + 1) * size]`.
# </details>
#
# <details><summary>Hint 2: missing rephrasings</summary>
#
# `np.nanmean` warns if all are missing. Count them first, with `(~np.isnan(rephrased)).sum(1)`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "contamination", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ngram_overlap(examples: list[list], documents: list[list], n: int) -> np.ndarray:
    """For each test example, the share of its n-grams that occur in the training documents.

    An n-gram is n successive tokens of one example, or of one document: none crosses a border. An example
    with L tokens has L - n + 1 of them, one for each position; where the same one occurs twice in it, it
    counts twice. How often it occurs in the documents plays no part.

    Args:
        examples, documents: lists of lists of tokens. A token is a whole number, or a string (any string,
            also with spaces). Documents may be shorter than n, or empty; there may be none.
        n: 1 or more.

    Returns:
        (number of examples,), from 0 to 1; NaN for an example with fewer than n tokens.

    Raises:
        ValueError: n is less than 1.

    >>> ngram_overlap([["a", "b", "c"], ["c", "a"]], [["a", "b"], ["c", "a", "a"]], n=2)
    array([0.5, 1. ])
    """
    ### BEGIN SOLUTION
    if n < 1:
        raise ValueError(f"n is {n}")

    def ngrams(tokens):
        return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]

    known = {gram for document in documents for gram in ngrams(document)}
    shares = []
    for example in examples:
        grams = ngrams(example)
        shares.append(sum(gram in known for gram in grams) / len(grams) if grams else math.nan)
    return np.array(shares)
    ### END SOLUTION


def order_test(examples: list, score, n_shards: int, orders: np.ndarray) -> float:
    """The p-value for "the model prefers the examples in the given order".

    The examples, in the given order, are cut into n_shards successive shards of equal size. The statistic
    of an order is the sum of the scores of the shards. That of the given order is compared with those of
    m rounds, in which each shard is shuffled within itself: p = (1 + number of rounds whose statistic is
    at least as large) / (1 + m).

    Args:
        examples: a list of anything, in the order in which they were published.
        score: score(list of examples) is the model's log-probability of these examples, one after the other. It
            is called once for each shard in the given order, and once for each shard in each round.
        n_shards: 1 or more.
        orders: (m, n_shards, size), whole numbers: in round j, position i of shard s holds the example that
            stands at position orders[j, s, i] of this shard in the given order.

    Returns:
        p, from 1 / (1 + m) to 1.

    Raises:
        ValueError: the number of examples is not a multiple of n_shards.

    >>> in_order = lambda shard: float(shard == sorted(shard))
    >>> order_test(["a", "b", "c", "d"], in_order, 2, np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]], [[0, 1], [0, 1]]]))
    0.5
    """
    ### BEGIN SOLUTION
    if len(examples) % n_shards:
        raise ValueError(f"{len(examples)} examples do not make {n_shards} equal shards")
    size = len(examples) // n_shards
    shards = [examples[s * size : (s + 1) * size] for s in range(n_shards)]
    published = sum(score(shard) for shard in shards)
    at_least = 0
    for order in orders:
        shuffled = sum(score([shard[i] for i in places]) for shard, places in zip(shards, order, strict=True))
        at_least += shuffled >= published
    return float((1 + at_least) / (1 + len(orders)))
    ### END SOLUTION


def rephrase_gap(original: np.ndarray, rephrased: np.ndarray, reference: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, float]:
    """By how much a model is better on original questions than on the same ones in other words.

    A question's drop is its result on the original minus the mean of its results on those rephrasings that
    there are. With a reference, the reference's drop on the same question is subtracted. Each question has
    the same weight, however many rephrasings it has. Left out are questions whose original was not
    answered or which have no rephrasing, by the model or by the reference.

    Args:
        original: (n,), 1 for right, 0 for wrong, NaN for not answered.
        rephrased: (n, k), likewise; NaN where there is no such rephrasing. The reference may have other ones, and
            another k.
        reference: (original, rephrased) of a model that cannot have seen the test, or None.

    Returns:
        "gap": the mean of the drops; "error": its standard error, the standard deviation of the drops (with n - 1)
        divided by the square root of their number.

    Raises:
        ValueError: fewer than two questions are left.

    >>> result = rephrase_gap(np.array([1.0, 1.0, 0.0]), np.array([[1.0, 0.0], [1.0, np.nan], [0.0, 0.0]]))  # drops: 0.5, 0, 0
    >>> {name: round(value, 4) for name, value in result.items()}
    {'gap': 0.1667, 'error': 0.1667}
    """
    ### BEGIN SOLUTION
    def drops(original, rephrased):
        there = ~np.isnan(rephrased)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, for a question without rephrasings
            return original - np.where(there, rephrased, 0).sum(1) / there.sum(1)

    d = drops(original, rephrased)
    if reference is not None:
        d = d - drops(*reference)
    d = d[~np.isnan(d)]
    if len(d) < 2:
        raise ValueError("fewer than two questions are left")
    return {"gap": float(d.mean()), "error": float(d.std(ddof=1) / math.sqrt(len(d)))}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_contamination", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="The example has the bigrams ab, bc, cb, bc. A bigram that crosses from one document to the next does not count.")
def overlaps_by_hand():
    """By hand: of the four bigrams of abcbc, two are in the documents ab, cb and c; an example of one token has no bigram."""
    found = np.asarray(ngram_overlap([list("abcbc"), ["a"]], [list("ab"), list("cb"), ["c"]], 2), dtype=float)
    assert found.shape == (2,), f"shape {found.shape} instead of (2,)"
    assert abs(found[0] - 0.5) < 1e-9, f"{found[0]:.3f} instead of 0.5"
    assert np.isnan(found[1]), f"{found[1]} instead of NaN for an example without a bigram"


@check(points=0.75, hint="Count the rounds whose sum over both shards is at least that of the given order, and the given order itself.")
def orders_by_hand():
    """By hand: with two shards and four rounds, of which one is better, one equal and two are worse than the given order, p is 3/5."""
    def run(orders):
        # The score is the sum of position times number: [3, 1] has 0 * 3 + 1 * 1.
        return float(order_test([3, 1, 2, 4], lambda shard: float(sum(i * x for i, x in enumerate(shard))), 2, orders))

    keep, turn = [0, 1], [1, 0]
    found = probe(run, np.array([[turn, keep], [keep, keep], [keep, turn], [keep, turn]]))
    assert abs(found - 0.6) < 1e-9, f"p is {found:.4f} instead of 0.6"


@check(points=1, hint="The three drops are 1/2, 1 and 0; minus those of the reference, 0, 1 and -1/2.")
def measures_gaps_by_hand():
    """By hand: three questions with gap 1/2 and error 0.2887; with a reference, 1/3 and 0.1667."""
    original, rephrased = np.array([1.0, 1.0, 0.0]), np.array([[1.0, 0.0], [0.0, math.nan], [0.0, 0.0]])
    reference = np.array([0.0, 1.0, 0.0]), np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    for extra, truth in (((), (0.5, 0.28867513)), ((reference,), (1 / 3, 1 / 6))):
        found = dict(rephrase_gap(original, rephrased, *extra))
        for name, value in zip(("gap", "error"), truth, strict=True):
            assert name in found, f'"{name}" is missing'
            assert abs(found[name] - value) < 1e-6, f'"{name}" is {found[name]:.4f} instead of {value:.4f}{" with a reference" if extra else ""}'


### BEGIN HIDDEN TESTS
import itertools

from scipy.stats import ttest_rel


def overlaps(cases):
    """What ngram_overlap returns, with a look at its arguments."""
    def run(cases):
        return [(np.asarray(ngram_overlap(*case), dtype=float), case) for case in cases]

    copies = [([list(x) for x in examples], [list(x) for x in documents], n) for examples, documents, n in cases]
    for case, (found, after) in zip(cases, probe(run, copies), strict=True):
        if [list(map(list, part)) for part in after[:2]] != [list(map(list, part)) for part in case[:2]]:
            fail("An argument was modified.")
        if found.shape != (len(case[0]),):
            fail(f"The answer for {len(case[0])} examples has the shape {found.shape}.")
        yield case, found


@check(points=1.5, hint="One n-gram for each position of the example, compared with all n-grams of all documents, each document by itself.")
def agrees_with_search_in_text():
    """Shares agree with a search in strings, for whole numbers and words as tokens and any n, with documents of all lengths."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases, texts = [], []
    for size, n, kind in ((2, 4, int), (2, 6, str), (3, 3, str), (4, 2, int), (6, 1, str), (2, 5, int)):
        example_texts = ["".join(generator.choice(list("abcdef")[:size], length)) for length in generator.integers(n, 25, 8)]
        # Few documents, so that many n-grams are not in them; some are short or empty.
        lengths = [0, 1, n - 1, n, n + 1, 2, 7, 3] if n > 1 else [1, 0, 1]
        document_texts = ["".join(generator.choice(list("abcdef")[:size], length)) for length in lengths]
        document_texts.append(example_texts[0][: n + 1])
        token = (lambda letter: 7 * ord(letter)) if kind is int else (lambda letter: letter * 3)
        texts.append((example_texts, document_texts))
        cases.append(([[token(x) for x in text] for text in example_texts], [[token(x) for x in text] for text in document_texts], n))
    for (case, found), (example_texts, document_texts) in zip(overlaps(cases), texts, strict=True):
        n = case[2]
        for text, share in zip(example_texts, found, strict=True):
            hits = [any(text[i : i + n] in document for document in document_texts) for i in range(len(text) - n + 1)]
            if not abs(share - sum(hits) / len(hits)) < 1e-9:
                fail(f"Wrong for n = {n}, examples of {min(map(len, example_texts))} to {max(map(len, example_texts))} tokens and {len(document_texts)} documents.")


@check(points=1, hint="No text is joined: neither documents, nor examples, nor tokens. Too short is NaN, which is not 0.")
def minds_the_borders():
    """No n-gram crosses from one text to the next; tokens with spaces stay one token; short examples are NaN, and without documents all shares are 0."""
    one_document, two_documents = [[1, 2, 3, 4]], [[1, 2], [3, 4]]
    cases = [
        (([[1, 2, 3, 4], [2, 3]], one_document, 2), (1, 1), "one document"),
        (([[1, 2, 3, 4], [2, 3]], two_documents, 2), (2 / 3, 0), "two documents"),
        (([[1, 2, 3, 4]], [[4, 1], [2, 3]], 3), (0,), "documents shorter than n"),
        (([[1, 2], [3, 4]], [[2, 3]], 2), (0, 0), "two examples"),
        (([["new york", "is"], ["new", "york is"]], [["new", "york is"]], 2), (0, 1), "tokens with spaces"),
        (([["ab", "c"], ["a", "bc"]], [["a", "bc"]], 2), (0, 1), "tokens that look alike when joined"),
        (([[1, 2], [12], [1, 21]], [[1, 21]], 1), (0.5, 0, 1), "n = 1"),
        (([[2, -1], [-1, 3]], [[1, 2], [3, 4]], 2), (0, 0), "negative numbers as tokens"),
        (([[1, 11], [11, 1]], [[11, 1]], 2), (0, 1), "numbers that look alike when joined"),
        (([[5, 5, 5, 6]], [[5, 5], [6, 5]], 2), (2 / 3,), "an n-gram that occurs twice"),
        (([[1, 2, 3], [1, 2], []], [[1, 2, 3, 4, 5]], 3), (1, math.nan, math.nan), "examples that are shorter than n"),
        (([[1, 2, 3]], [], 2), (0,), "no documents"),
        (([[2, 1], [1, 2]], [[1, 2]], 2), (0, 1), "the same tokens in another order"),
        (([[1, 3], [1, 2, 3]], [[1, 2, 3]], 2), (0, 1), "tokens that are not neighbours"),
    ]
    for (_, found), (_, truth, name) in zip(overlaps([case for case, _, _ in cases]), cases, strict=True):
        if not np.allclose(found, truth, atol=1e-9, equal_nan=True):
            fail(f"Wrong for {name}.")

    def refused(n):
        try:
            ngram_overlap([[1, 2]], [[1, 2]], n)
        except ValueError:
            return True
        return False

    if not all(probe(refused, n) for n in (0, -1)):
        fail("n = 0 and n = -1 have to raise ValueError.")


def tested(cases):
    """p-values for tables of whole numbers: a shard's score is the sum of table[a][b] over neighbours a, b. And what was scored."""
    def run(cases):
        answers = []
        for examples, table, n_shards, orders in cases:
            calls = []

            def score(shard, table=table, calls=calls):
                calls.append([int(x) for x in shard])
                return float(sum(table[a][b] for a, b in itertools.pairwise(shard)))

            before = list(examples), orders.copy()
            p = float(order_test(examples, score, n_shards, orders))
            answers.append((p, calls, before[0] == list(examples) and np.array_equal(before[1], orders)))
        return answers

    for case, (p, calls, untouched) in zip(cases, probe(run, cases), strict=True):
        if not untouched:
            fail("An argument was modified.")
        yield case, p, calls


def draw_case(generator, n_shards, size, m, levels):
    """Examples that are not in the order of their numbers, and a model with a slight preference for their order; few levels make ties."""
    examples = generator.permutation(n_shards * size).tolist()
    table = generator.integers(0, levels, (n_shards * size,) * 2)
    for a, b in itertools.pairwise(examples):
        table[a, b] += generator.integers(0, 2)
    orders = generator.permuted(np.broadcast_to(np.arange(size), (m, n_shards, size)), axis=2)
    return examples, table.tolist(), n_shards, orders


@check(points=1.5, hint="The given order is the first, whatever it is; add over shards before you compare; ties count; 1 above and below.")
def counts_orders():
    """p is (1 + rounds at least as good) / (1 + m), also with ties, one shard, a single round, and examples in no alphabetic order."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [draw_case(generator, *shape) for shape in ((1, 5, 30, 3), (3, 4, 40, 3), (4, 2, 25, 2), (6, 3, 50, 40), (2, 6, 1, 4), (5, 1, 7, 4))]
    # All orders of four examples: those that are better are known by enumeration.
    examples, table, _, _ = draw_case(generator, 1, 4, 1, 9)
    cases.append((examples, table, 1, np.array(list(itertools.permutations(range(4))))[:, None]))
    # Large numbers, as log-probabilities of whole texts are, with small differences.
    examples, table, n_shards, orders = draw_case(generator, 2, 6, 40, 9)
    cases.append((examples, (np.array(table) - 1_000_000).tolist(), n_shards, orders))
    # The given order is the worst of all, and the best, strictly.
    cases += [([2, 0, 1], [[sign * (b - a) * (a != 2) for b in range(3)] for a in range(3)], 1, np.array([[[1, 2, 0]], [[2, 1, 0]], [[2, 0, 1]]])) for sign in (1, -1)]
    for (examples, table, n_shards, orders), p, _ in tested(cases):
        size = len(examples) // n_shards
        numbers = np.array(examples).reshape(n_shards, size)

        arranged = np.concatenate([numbers[None], np.stack([numbers[s][orders[:, s]] for s in range(n_shards)], axis=1)])
        published, *rounds = np.array(table)[arranged[..., :-1], arranged[..., 1:]].sum((-1, -2)).tolist()
        if not abs(p - (1 + sum(other >= published for other in rounds)) / (1 + len(orders))) < 1e-9:
            fail(f"Wrong for {n_shards} shard{'s' * (n_shards > 1)} of {size}, and {len(orders)} round{'s' * (len(orders) > 1)}.")


@check(points=1, hint="Shards are successive pieces. Position i of a shuffled shard holds what stood at orders[j, s, i], not the other way round.")
def scores_what_it_should():
    """Each shard is scored once in the given order and once in each round, and nothing else is; a remainder is refused."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [draw_case(generator, n_shards, size, m, 4) for n_shards, size, m in ((3, 4, 6), (1, 7, 3), (4, 2, 1))]
    for (examples, _, n_shards, orders), _, calls in tested(cases):
        size = len(examples) // n_shards
        truth = [examples[s * size : (s + 1) * size] for s in range(n_shards)]
        truth += [[truth[s][i] for i in orders[j, s]] for j in range(len(orders)) for s in range(n_shards)]
        if sorted(calls) != sorted(truth):
            fail(f"For {n_shards} shard{'s' * (n_shards > 1)} of {size} and {len(orders)} rounds, something else is scored.")

    def run(orders):
        calls = []

        def score(shard):
            calls.append([isinstance(shard, list), *(example["question"] for example in shard)])
            return float(shard[0]["question"] == "d")

        return float(order_test([{"question": name} for name in "dbca"], score, 2, orders)), calls

    p, calls = probe(run, np.array([[[1, 0], [0, 1]]]))
    if p != 0.5 or sorted(calls) != sorted([[True, *shard] for shard in ("db", "ca", "bd", "ca")]):
        fail("Where examples are dictionaries, `score` gets something other than lists of them.")

    def mixed(orders):
        calls = []

        def score(shard):
            calls.append([f"{type(example).__name__} {example}" for example in shard])
            return 0.0

        order_test([3, "3", 1, "1"], score, 2, orders)
        return calls

    if sorted(probe(mixed, np.array([[[1, 0], [0, 1]]]))) != sorted([["int 3", "str 3"], ["int 1", "str 1"], ["str 3", "int 3"], ["int 1", "str 1"]]):
        fail("Where examples are of different types, `score` gets something other than these examples.")

    def refused(n_examples, n_shards):
        try:
            order_test(list(range(n_examples)), lambda shard: 0.0, n_shards, np.zeros((2, n_shards, n_examples // n_shards), dtype=int))
        except ValueError:
            return True
        return False

    if not all(probe(refused, *sizes) for sizes in ((7, 2), (5, 3), (9, 4))):
        fail("ValueError has to be raised where shards cannot be equal.")


@check(points=1, hint="If each of the orders in turn is the published one, and the rest are the rounds, the p-values are 1/(1 + m), 2/(1 + m), ..., 1.")
def is_exact():
    """If a model prefers no order, p is at most 0.05 in 5 % of all cases: with each of 20 orders in turn as the published one, p takes each of 20 values once."""
    generator = np.random.default_rng(np.random.randint(2**31))
    # Powers of two: no two different sums of neighbours are equal, and the sums are exact.
    table = (2.0 ** generator.permutation(36).reshape(6, 6)).tolist()
    six = np.array([generator.permutation(6) for _ in range(400)])
    six = np.unique(six, axis=0)
    six = six[generator.permutation(len(six))[:20]]
    cases = [(six[turn].tolist(), table, 1, np.array([[np.argsort(six[turn])[other]] for other in np.delete(six, turn, axis=0)])) for turn in range(20)]
    found = sorted(p for _, p, _ in tested(cases))
    if not np.allclose(found, np.arange(1, 21) / 20, atol=1e-9):
        fail("The p-values of 20 orders, each against the 19 others, are not 1/20, 2/20, ..., 1.")


def gaps(cases):
    def run(cases):
        return [({name: float(value) for name, value in dict(rephrase_gap(*case)).items()}, case) for case in cases]

    def flat(case):
        return [part for x in case if x is not None for part in (x if isinstance(x, tuple) else (x,))]

    copies = [tuple(tuple(part.copy() for part in x) if isinstance(x, tuple) else x if x is None else x.copy() for x in case) for case in cases]
    for case, (found, after) in zip(cases, probe(run, copies), strict=True):
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(flat(case), flat(after), strict=True)):
            fail("An argument was modified.")
        if missing := [name for name in ("gap", "error") if name not in found]:
            fail(f'"{missing[0]}" is missing.')
        yield case, found


def compare_gap(found, model, reference, where):
    """With scipy's paired t-test, of which the gap is the numerator and the error the denominator."""
    test = ttest_rel(model, reference)
    gap = float(np.mean(model) - np.mean(reference))
    for name, truth in (("gap", gap), ("error", gap / test.statistic)):
        if not abs(found[name] - truth) < 1e-9:
            fail(f'"{name}" is wrong {where}.')


@check(points=1.5, hint="One difference for each question; standard deviation with n - 1, divided by √n. With a reference, subtract its drops question by question.")
def gap_is_paired():
    """Gap and error are those of a paired comparison, without a reference and with one, for any number of rephrasings."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n, k, k_reference in ((12, 1, 1), (40, 3, 2), (9, 9, 4), (100, 2, 5)):
        hard = generator.random((n, 1))
        answers = [(generator.random((n, width)) > hard).astype(kind) for width, kind in ((1, float), (k, np.float32), (1, int), (k_reference, float))]
        answers[0][0], answers[1][0], answers[2][0], answers[3][0] = 1, 0, 1, 1  # so that neither gap nor error is 0
        answers[0][1], answers[1][1] = 1, 1
        original, rephrased, *reference = [part[:, 0] if i % 2 == 0 else part for i, part in enumerate(answers)]
        cases += [(original, rephrased), (original, rephrased, tuple(reference)), (original, rephrased, None)]
    for case, found in gaps(cases):
        model = case[0] - case[1].astype(float).mean(1)
        other = np.zeros(len(model)) if len(case) < 3 or case[2] is None else case[2][0] - case[2][1].mean(1)
        if abs(model.mean() - other.mean()) < 1e-12:
            continue
        compare_gap(found, model, other, f"for {len(model)} questions and {case[1].shape[1]} rephrasings, {'with' if other.any() else 'without'} a reference")


@check(points=1, hint="A question counts once, whether it has one rephrasing or five. What is missing is neither right nor wrong; a question that lacks one side is left out.")
def gap_with_missing_answers():
    """Missing rephrasings are left out, and questions without any, or without an answer to the original, of either model; at least two have to be left."""
    nan = math.nan
    original = np.array([1, 1, 0, 1, nan, 1, 0, 1])
    rephrased = np.array([[1, 0, nan], [0, nan, nan], [0, 1, 1], [nan, nan, nan], [1, 1, 0], [1, nan, 1], [nan, 0, 1], [0, 0, 1]])
    reference = np.array([1.0, 0, nan, 1, 1, 1, 0, 0]), np.array([[nan, 1], [0, 0], [1, 1], [1, 0], [1, 1], [nan, nan], [1, 0], [0, 1.0]])
    drops = {0: 1 / 2, 1: 1, 2: -2 / 3, 5: 0, 6: -1 / 2, 7: 2 / 3}
    against = {0: 0, 1: 0, 6: -1 / 2, 7: -1 / 2}
    cases = [(original, rephrased), (original, rephrased, reference), (original[[0, 1]], rephrased[[0, 1]])]
    for (case, found), kept in zip(gaps(cases), (list(drops), list(against), [0, 1]), strict=True):
        other = [against[i] if len(case) > 2 else 0 for i in kept]
        compare_gap(found, [drops[i] for i in kept], other, f"with missing answers, {'with' if len(case) > 2 else 'without'} a reference")

    def refused(*case):
        try:
            rephrase_gap(*case)
        except ValueError:
            return True
        return False

    few = [
        (original[:1], rephrased[:1]),
        (original[[0, 3, 4]], rephrased[[0, 3, 4]]),
        (original[[0, 2, 5]], rephrased[[0, 2, 5]], tuple(part[[0, 2, 5]] for part in reference)),
        (np.zeros(0), np.zeros((0, 2))),
    ]
    if not all(probe(refused, *case) for case in few):
        fail("ValueError has to be raised where fewer than two questions are left.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# The tests are paragraphs of the Python reference (the text of 1.5; numbers are those of Python 3.11). On the left, they were added to the training text or not. In the middle, a tiny language model (bigrams of words, mixed with the words of the paragraph before) reads files of 24 paragraphs; each line shows 200 tests. On the right, simulated models that can solve 60 % of 400 questions. **Predict:** which line of the middle panel is a diagonal?

# %% tags=["demo", "nbval-ignore-output"]
from itertools import pairwise


class NeighbourModel:
    """A tiny language model over 120 paragraphs: bigrams of words, mixed with the words of the paragraph before."""

    def __init__(self):
        from collections import Counter

        training, held_out = lesson.corpus()
        self.documents = [paragraph.split() for paragraph in training.split("\n\n")]
        self.paragraphs = [words[:20] for words in (paragraph.split() for paragraph in held_out.split("\n\n")) if len(words) >= 12][:120]
        text = training.split()
        words, pairs = Counter(text), Counter(pairwise(text))
        n, recent = len(self.paragraphs), [Counter(p) for p in self.paragraphs]

        def unigram(word):
            return (words[word] + 1) / (len(text) + len(words))

        self.ends, self.starts = [p[-1] for p in self.paragraphs], [p[0] for p in self.paragraphs]
        self.end_of = np.unique(self.ends, return_inverse=True)[1]
        self.start_of = np.unique(self.starts, return_inverse=True)[1]
        self.pairs = np.array([[pairs[a, b] for b in self.starts] for a in self.ends], dtype=float)
        self.totals = np.array([words[a] for a in self.ends], dtype=float)[:, None]
        self.unigrams = np.array([unigram(b) for b in self.starts])
        self.recent = np.array([[counts[b] / sum(counts.values()) for b in self.starts] for counts in recent])
        # All words of a paragraph but the first, given the words of each other paragraph.
        self.inside = np.zeros((n, n))
        for j, paragraph in enumerate(self.paragraphs):
            fixed = np.array([(pairs[a, b] + 20 * unigram(b)) / (words[a] + 20) for a, b in pairwise(paragraph)])
            for i, counts in enumerate(recent):
                seen = np.array([counts[b] for b in paragraph[1:]]) / len(self.paragraphs[i])
                self.inside[i, j] = np.log(0.9 * fixed + 0.1 * seen).sum()

    def after_training_on(self, *copies):
        """A score for lists of paragraph numbers, after the model has also read these copies of the test, each in its order."""
        pairs, totals = self.pairs.copy(), self.totals.copy()
        for copy in copies:
            for a, b in pairwise(copy):
                same_end = self.end_of == self.end_of[a]
                pairs[np.ix_(same_end, self.start_of == self.start_of[b])] += 1
                totals[same_end] += 1
        table = np.log(0.9 * (pairs + 20 * self.unigrams) / (totals + 20) + 0.1 * self.recent) + self.inside
        return lambda shard: float(table[shard[:-1], shard[1:]].sum())


def order_p_values(model, n_copies, keep_order=True, by_topic=False, n_tests=200, seed=0):
    """p-values for files of 24 paragraphs, in two shards, against 99 random orders."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n_tests):
        start = generator.integers(0, 97)
        file = np.arange(start, start + 24) if by_topic else generator.permutation(120)[:24]
        score = model.after_training_on(*[file if keep_order else generator.permutation(file) for _ in range(n_copies)])
        orders = generator.permuted(np.broadcast_to(np.arange(12), (99, 2, 12)), axis=2)
        found.append(order_test(file.tolist(), score, 2, orders))
    return np.array(found)


def simulated_answers(generator, n=400, k=3, solved=0.6, memorised=0.0, harder=0.0):
    """Right or wrong, on n questions and k rephrasings of each: memorised ones are right in their original wording."""
    skill = generator.beta(6 * solved, 6 * (1 - solved), (n, 1))
    original = (generator.random((n, 1)) < skill) | (generator.random((n, 1)) < memorised)
    return original[:, 0].astype(float), (generator.random((n, k)) < skill - harder).astype(float)


def draw_contamination(seed=0):
    rephrase_gap(np.ones(2), np.ones((2, 1)))  # the quickest way to find out whether there are answers
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.5), layout="constrained")
    model, generator = NeighbourModel(), np.random.default_rng(seed)

    changed = [[word if generator.random() > 0.15 else word + "~" for word in words] for words in model.paragraphs]
    sizes = [1, 2, 3, 5, 8, 13]
    for more, style, color, label in ((model.paragraphs, "o-", "C0", "copied"), (changed, "s--", "C1", "15 % of words changed"), ([], "^:", "0.45", "never seen")):
        found = [100 * np.nanmean(ngram_overlap(model.paragraphs, model.documents + more, n)) for n in sizes]
        left.plot(range(6), found, style, ms=4, color=color, label=label)
        print(f"Overlap, {label}: {', '.join(f'{x:.0f}' for x in found)} %")
    left.set_xticks(range(6), labels=sizes)
    left.set(xlabel="$n$", ylabel="n-grams found, in %", title="Overlap", ylim=(-4, 143), yticks=[0, 25, 50, 75, 100])
    left.legend(fontsize=8, loc="upper right")

    for n_copies, keep, style, color, label in ((0, True, "-", "0.45", "never seen"), (1, True, "--", "C0", "1 copy"), (3, True, "-", "C0", "3 copies"), (10, False, ":", "C1", "10 copies, each shuffled")):
        p = order_p_values(model, n_copies, keep_order=keep, seed=seed)
        middle.step(np.sort(p), np.arange(1, len(p) + 1) / len(p), style, where="post", color=color, label=label)
        print(f"Order test, {label}: p is at most 0.05 in {100 * np.mean(p <= 0.05):.0f} % of {len(p)} tests")
    middle.axvline(0.05, color="0.7", lw=0.8)
    middle.set(xlabel="$p$", ylabel="share of tests with at most this", title="Order test (line: 0.05)")
    middle.legend(fontsize=8, loc="lower right")

    older = {harder: simulated_answers(generator, solved=0.4, harder=harder) for harder in (0, 0.08)}
    rows = [(0, 0), (0, 0.08), (0.3, 0), (0.3, 0.08)]
    for y, (memorised, harder) in enumerate(rows):
        own = simulated_answers(generator, memorised=memorised, harder=harder)
        for shift, extra, style, color, label in ((-0.13, (), "o", "C1", "alone"), (0.13, (older[harder],), "s", "C0", "minus the reference")):
            result = rephrase_gap(*own, *extra)
            right.errorbar(100 * result["gap"], y + shift, xerr=196 * result["error"], fmt=style, ms=4, capsize=3, color=color, label=None if y else label)
    right.axvline(0, color="0.7", lw=0.8)
    right.set_yticks(range(4), labels=["learned", "learned,\nharder wording", "30 %\nmemorised", "30 % memorised,\nharder wording"], fontsize=8)
    right.set(xlabel="gap, in points, with 95 % interval", title="Rephrasing", ylim=(4.6, -0.5))
    right.legend(fontsize=8, loc="lower right", ncols=2)
    plt.show()


try:
    draw_contamination()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.8.")

# %% [markdown]
# **Left.** A copy with 15 % of its words changed keeps 27 % of its 8-grams, and 10 % of its 13-grams. Text that was never seen has 53 % of its bigrams and 6 % of its 5-grams in the training text. There is no right $n$.
#
# **Middle.** Two lines are diagonals. Never seen: $p \le 0.05$ in 4 % of the tests (4 to 7 % with other seeds). One copy is found in 56 %, three copies in 70 %. But of **ten** copies, each in a new order, the test sees nothing. A small $p$ is strong evidence, a large one none.
#
# **Right.** A model that has memorised 30 % gains 12 points, and the gap is as large, on average over 300 simulations. But a harder wording makes a gap, too: where it was 8 points harder, the 95 % interval of a model that has memorised nothing missed 0 in 85 % of 6,000 simulations; minus the reference's gap, in 5 %.
#
# Overlap is blind to translations and to data that you are not shown, the order test to examples learnt one by one, and the gap to questions learnt in many wordings. Only the gap says how much better the score became.
#
# **Change, predict, run.** `np.mean(order_p_values(NeighbourModel(), 0, by_topic=True) <= 0.05)` takes files of 24 paragraphs as they follow each other in the reference, and a model that has never seen them. What share do you expect?
#
# <details><summary>What you should see</summary>
#
# About 0.3 (.30 to .32 with three seeds), six times too many. Paragraphs that follow each other share words, so any model with a memory prefers their order. The test is exact only if the published order means nothing: **exchangeable** examples.
# </details>
