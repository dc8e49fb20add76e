# %% [markdown]
# ## 7.2 A suffix that survives being typed
#
# The staff of a zoo prepare a surprise party. A filter, the **guard**, holds back all messages about the party. Tokens are whole numbers, so a text cannot be changed by a little of everything, as an image can in 7.1. But one may add a few words. **Predict:** can eight meaningless tokens behind "anna hides the cake today" make the guard let it pass?
#
# Zou et al. (arXiv:2307.15043) found such suffixes for large chat models, with a search named *greedy coordinate gradient*.
#
# ### A gradient for tokens
#
# The guard turns token $t_i$ into row $t_i$ of its embedding matrix $E$, and a score comes out: above 0, the message is held back. Write the token as a one-hot vector $x_i$ over all $V$ tokens; then its row is $x_i E$, and the score may be differentiated by *all* entries of $x_i$, not only by the one that is 1:
#
# $$G_{iv} = \frac{\partial\, \text{score}}{\partial x_{iv}} = \frac{\partial\, \text{score}}{\partial (x_i E)} \cdot E_v .$$
#
# If token $t_i$ is replaced by $v$, the score changes by about $G_{iv} - G_{i t_i}$. One backward pass predicts the effect of all replacements at all places: exactly if the score is linear in the embeddings, and roughly otherwise. So the attack takes the most promising replacements of *one* token, lets the guard read each, goes on from the best, and repeats.
#
# ### The step that is forgotten
#
# The guard of a real service gets a text, and a tokenizer cuts it anew. The tokens `t` `h` are written "th", and "th" is cut into one token, `th`. So the tokens that were attacked never arrive. Also the suffix's first token may join with the prompt's last word. An attack on tokens **survives being typed** if decoding and encoding the *whole* message gives the same tokens.

# %% nbgrader={"grade": false, "grade_id": "setup_suffix", "locked": true, "schema_version": 3, "solution": false, "task": false}
import itertools
import re
from collections import Counter


class Pieces:
    """A small byte-pair tokenizer for lower-case letters and spaces, as in section 1.1; no token crosses a word's border.

    Token 0 is the space, 1 to 26 are the letters, 27 + i is what merge i makes.

    Args:
        merges: pairs of strings, in order.
    """

    def __init__(self, merges: list[tuple[str, str]]):
        self.merges = list(merges)
        self.pieces = [*" abcdefghijklmnopqrstuvwxyz", *(a + b for a, b in merges)]
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}
        self.known = {}

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return [number for word in re.findall(r" ?[a-z]+| ", text) for number in self._word(word)]

    def decode(self, ids: list[int]) -> str:
        """The text of tokens."""
        return "".join(self.pieces[i] for i in ids)

    def _word(self, word):
        if word not in self.known:
            parts = list(word)
            for a, b in self.merges:
                i = 0
                while a + b in word and i < len(parts) - 1:
                    if parts[i] == a and parts[i + 1] == b:
                        parts[i : i + 2] = [a + b]
                    i += 1
            self.known[word] = [self.numbers[part] for part in parts]
        return self.known[word]


class Guard(nn.Module):
    """Scores messages; above 0 means "hold back". It looks at all pairs of neighbouring tokens and takes the mean.

    Args:
        vocabulary: number of different tokens, V.
    """

    def __init__(self, vocabulary: int, width: int = 16, hidden: int = 32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.pairs, self.out = nn.Linear(2 * width, hidden), nn.Linear(hidden, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B,) scores; T is at least 2."""
        return self.score_vectors(self.embedding(ids))

    def score_vectors(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, T, width) embeddings to (B,) scores."""
        neighbours = torch.cat([vectors[:, :-1], vectors[:, 1:]], -1)
        return self.out(self.pairs(neighbours).tanh().mean(1)).squeeze(-1)


def zoo_messages(n: int, seed: int) -> tuple[list[str], list[bool]]:
    """Made-up messages, and which of them are about the party."""
    people = ["anna", "ben", "the keeper", "the vet", "our guide", "the baker"]
    verbs = ["brings", "hides", "counts", "orders", "moves", "checks", "paints", "forgets"]
    party = ["the cake", "the balloons", "the candles", "the presents", "the party", "the lanterns"]
    others = ["the penguins", "the tickets", "the gate", "the hay", "the otters", "the fish", "the map", "the lions"]
    times = ["today", "tomorrow", "at noon", "before lunch", "in the morning", "after closing", "near the pond", "behind the tower"]
    generator, texts, secret = np.random.default_rng(seed), [], []
    for _ in range(n):
        about = bool(generator.random() < 0.5)
        parts = [generator.choice(words) for words in (people, verbs, party if about else others, times)]
        texts.append(" ".join(parts))
        secret.append(about)
    return texts, secret


def letter_pairs(n_merges: int = 250) -> Pieces:
    """The tokenizer of the section: letters, and the pairs of characters that are most frequent in Python's own documentation."""
    from pydoc_data.topics import topics

    counts = Counter()
    for word, number in Counter(re.findall("[a-z]+", " ".join(topics.values()).lower())).items():
        for pair in itertools.pairwise(" " + word):
            counts[pair] += number
    return Pieces(sorted(counts, key=lambda pair: (-counts[pair], pair))[:n_merges])


zoo_pieces = letter_pairs()

# %% [markdown]
# ### Exercise 7.2 · A suffix that survives being typed
#
# > **Difficulty** ★★★☆ · **55 minutes** · **12 points** · PyTorch
#
# **Write** four functions. A guard has what `Guard` above has: `guard(ids)`, `guard.score_vectors(vectors)` and `guard.embedding`, an `nn.Embedding`; what lies between may be another network. A tokenizer has `encode` and `decode` and, as `len`, the number of its tokens. Do not modify arguments.
#
# <details><summary>Hint 1: the gradient</summary>
#
# `vectors = guard.embedding(ids).detach().requires_grad_()`, then `torch.autograd.grad(score, vectors)`, which leaves the weights' `.grad` alone. The product with the transposed embedding matrix has all V columns.
# </details>
#
# <details><summary>Hint 2: choosing candidates</summary>
#
# Sort all pairs (place, token) by the predicted change and go through them from the lowest. Skip what is no replacement, and what does not survive, until there are `width`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "suffix", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_gradient(guard: nn.Module, ids: list[int]) -> torch.Tensor:
    """The derivative of the guard's score by the one-hot vectors of a message's tokens.

    The guard reads the message once. The parameters' `.grad` stay as they are; the parameters may have requires_grad
    False. The result has no graph.

    Args:
        ids: a list of T tokens.

    Returns:
        (T, V): entry (i, v) says how the score changes with the share of token v at place i.

    >>> token_gradient(guard, [3, 1, 4, 1]).shape  # for a guard that knows 277 tokens
    torch.Size([4, 277])
    """
    ### BEGIN SOLUTION
    weight = guard.embedding.weight.detach()
    vectors = weight[torch.tensor([ids])].requires_grad_()
    (gradient,) = torch.autograd.grad(guard.score_vectors(vectors).sum(), vectors)
    return gradient[0] @ weight.T
    ### END SOLUTION


def survives(tokenizer, prompt: list[int], suffix: list[int]) -> bool:
    """Whether the tokens of a message arrive as they are when its text is typed.

    Args:
        prompt, suffix: the message is the prompt followed by the suffix.

    Returns:
        Whether encoding the decoded message gives exactly its tokens.

    >>> survives(zoo_pieces, zoo_pieces.encode("ben hides t"), zoo_pieces.encode("h"))  # "th" is one token
    False
    """
    ### BEGIN SOLUTION
    message = [*prompt, *suffix]
    return list(tokenizer.encode(tokenizer.decode(message))) == message
    ### END SOLUTION


def suffix_attack(guard: nn.Module, tokenizer, prompt: list[int], n_suffix: int, max_queries: int, width: int, generator: torch.Generator) -> tuple[list[int] | None, int]:
    """Looks for a suffix that makes the guard let a message pass (score below 0), by greedy coordinate gradient.

    A query is one message that the guard reads, be it for a score or for a gradient: a batch of 16 messages is 16 queries.
    Starts with a random suffix that survives, drawn with `generator`; it may be read for its score first. Each step
    1. takes the gradient at the present message, which is one query (and may give the present score, too);
    2. predicts the change of score for each replacement of one token of the suffix by another one;
    3. has the guard read the `width` replacements with the lowest predictions, among those that survive (all
       of them, if there are fewer; only the first ones, if queries run out);
    4. goes on from the best one read, if there is one and its score is lower than the present one; otherwise from a new
       random suffix.
    It ends when exactly `max_queries` are spent, or when a message with a score below 0 was read: after the last candidate
    of that step at the latest. All messages of a batch count.

    Args:
        prompt: tokens that survive being typed, of a message that the guard holds back. There are suffixes that survive.
        n_suffix: number of tokens, at least 1.
        max_queries: 0 or more.
        width: at least 1.

    Returns:
        The suffix of n_suffix tokens, with which the message survives and scores below 0, or None if none was found; and
        the number of queries.

    >>> suffix, queries = suffix_attack(guard, tokenizer, prompt, 8, 500, 16, torch.Generator().manual_seed(0))
    """
    ### BEGIN SOLUTION
    def draw():
        suffix = []
        while len(suffix) < n_suffix:
            token = int(torch.randint(len(tokenizer), (1,), generator=generator))
            if survives(tokenizer, prompt, [*suffix, token]):
                suffix.append(token)
        return suffix

    def read(suffixes):
        with torch.no_grad():
            return guard(torch.tensor([[*prompt, *suffix] for suffix in suffixes]))

    suffix, queries, score = None, 0, None
    while queries < max_queries:
        if suffix is None:
            suffix = draw()
            score = float(read([suffix])[0])
            queries += 1
            if score < 0:
                return suffix, queries
            continue
        gradient = token_gradient(guard, [*prompt, *suffix])[len(prompt) :]
        queries += 1
        change = gradient - gradient.gather(1, torch.tensor(suffix)[:, None])
        candidates = []
        for index in change.flatten().argsort().tolist():
            if len(candidates) == min(width, max_queries - queries):
                break
            place, token = divmod(index, change.shape[1])
            candidate = [*suffix[:place], token, *suffix[place + 1 :]]
            if token != suffix[place] and survives(tokenizer, prompt, candidate):
                candidates.append(candidate)
        if not candidates:
            suffix = None
            continue
        found = read(candidates)
        queries += len(candidates)
        best = int(found.argmin())
        if found[best] < 0:
            return candidates[best], queries
        suffix, score = (candidates[best], float(found[best])) if found[best] < score else (None, None)
    return None, queries
    ### END SOLUTION


def success_rate(guard: nn.Module, tokenizer, prompts: list[str], attacks: list[list[int] | None]) -> float:
    """The share of held-back prompts that get past the guard, counted on the text that arrives.

    Prompts that the guard lets pass anyway (score not above 0) do not count at all. An attack is a success if the text of its
    tokens begins with the prompt (text with text: the tokens may differ), and, encoded again, has a score below 0.

    Args:
        prompts: texts.
        attacks: for each prompt the tokens of the whole message, or None where no suffix was found.

    Returns:
        From 0 to 1; NaN if no prompt is held back.

    >>> success_rate(guard, tokenizer, ["anna hides the cake"], [None])  # held back, and no suffix was found
    0.0
    """
    ### BEGIN SOLUTION
    def score(text):
        with torch.no_grad():
            return float(guard(torch.tensor([tokenizer.encode(text)]))[0])

    passed = []
    for prompt, attack in zip(prompts, attacks, strict=True):
        if score(prompt) > 0:
            text = "" if attack is None else tokenizer.decode(attack)
            passed.append(attack is not None and text.startswith(prompt) and score(text) < 0)
    return sum(passed) / len(passed) if passed else math.nan
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_suffix", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def bag_guard(weights, bias=0.0):
    """A guard whose score is the mean of its tokens' weights, plus a bias."""
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(len(weights), 1)
            self.embedding.weight.data = torch.as_tensor(weights, dtype=torch.float32)[:, None]

        def forward(self, ids):
            return self.score_vectors(self.embedding(ids))

        def score_vectors(self, vectors):
            return vectors[..., 0].mean(1) + bias

    return Bag()


@check(points=0.75, hint="The score is the mean of three weights, so a share of token v counts a third of its weight, at each place, whatever stands there now.")
def gradient_by_hand():
    """By hand: for a guard that takes the mean of its tokens' weights, each row of the gradient holds all weights, divided by the number of tokens."""
    found = probe(lambda: token_gradient(bag_guard([1.0, 2.0, -3.0, 0.5]), [1, 1, 3]))
    assert tuple(found.shape) == (3, 4), f"shape {tuple(found.shape)} instead of (3, 4)"
    assert np.allclose(found, np.array([[1, 2, -3, 0.5]] * 3) / 3, atol=1e-5), f"the gradient is {np.asarray(found).round(3).tolist()}"


@check(points=0.75, hint="Decode prompt and suffix together: the suffix may join with the prompt's last word. Compare tokens, not texts.")
def survives_by_hand():
    """By hand, with one merge of t and h: "h" does not survive after "bat", but after "bad"; "t" "h" does not survive after a space."""
    pieces = Pieces([("t", "h")])
    cases = [("bat", ["h"], False), ("bad", ["h"], True), ("a ", ["t", "h"], False), ("a ", ["th"], True), ("a", ["t", " "], True)]
    for prompt, suffix, truth in cases:
        found = survives(pieces, pieces.encode(prompt), [pieces.numbers[piece] for piece in suffix])
        assert bool(found) is truth, f"{suffix} after {prompt!r}: {found} instead of {truth}"


@check(points=0.75, hint="The gradient names the one letter that helps. A query for the start, one for the gradient, and at most `width` for candidates.")
def attack_by_hand():
    """Where a single letter makes the guard let a message pass, it is found with at most 6 queries: the start's score, its gradient, and 4 candidates."""
    letters = Pieces([])
    for needle, seed in (("q", 0), ("k", 1), ("z", 2)):
        def run(number, seed):
            guard = bag_guard([-100.0 if i == number else 1.0 for i in range(27)])
            return suffix_attack(guard, Pieces([]), letters.encode("ben"), 2, 6, 4, torch.Generator().manual_seed(seed))

        suffix, queries = probe(run, letters.numbers[needle], seed)
        assert suffix is not None, "no suffix was found"
        assert len(suffix) == 2 and letters.numbers[needle] in suffix, f"the suffix {letters.decode(suffix)!r} has no {needle!r}, or not two tokens"
        assert 1 <= queries <= 6, f"{queries} queries"


@check(points=0.75, hint="Decode, encode, and ask the guard: what counts is what arrives. Each attack has to begin with its prompt.")
def success_by_hand():
    """By hand: of three prompts that are held back, one attack arrives; one turns into another token, and one has changed its prompt."""
    def run():
        pieces = Pieces([("t", "h")])
        weights = [1.0] * len(pieces)
        weights[pieces.numbers["t"]], weights[pieces.numbers["x"]] = -100.0, -100.0
        attacks = [pieces.encode("ab x"), [*pieces.encode("ab "), pieces.numbers["t"], pieces.numbers["h"]], pieces.encode("b x")]
        return success_rate(bag_guard(weights), pieces, ["ab", "ab", "ab"], attacks)

    found = probe(run)
    assert abs(found - 1 / 3) < 1e-9, f"{found:.3f} instead of 1/3"


### BEGIN HIDDEN TESTS
from functools import cache


def random_guard(seed, vocabulary=None, shift=0.0):
    """A Guard with large random weights, in 64 bits; its scores have the standard deviation 1 over random messages, and the mean `shift`."""
    generator = torch.Generator().manual_seed(seed)
    guard = Guard(vocabulary or len(zoo_pieces), width=6, hidden=10).double()
    with torch.no_grad():
        for parameter in guard.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        known = guard(torch.randint(len(guard.embedding.weight), (400, 8), generator=generator))
        guard.out.weight /= known.std()
        guard.out.bias.copy_((guard.out.bias - known.mean()) / known.std() + shift)
    return guard


def differences(guard, ids):
    """The gradient by the one-hot vectors, as difference quotients."""
    E = guard.embedding.weight.detach()
    one_hot = F.one_hot(torch.tensor(ids), len(E)).double()
    moved = one_hot + 1e-5 * torch.eye(one_hot.numel(), dtype=torch.float64).view(-1, *one_hot.shape)
    back = one_hot - 1e-5 * torch.eye(one_hot.numel(), dtype=torch.float64).view(-1, *one_hot.shape)
    with torch.no_grad():
        return ((guard.score_vectors(moved @ E) - guard.score_vectors(back @ E)) / 2e-5).view(one_hot.shape).numpy()


MESSAGES = [(1, 30, [3, 7, 7, 29, 3]), (2, 12, [0, 11]), (3, 5, [4, 4, 4, 4, 4, 1]), (4, 9, list(range(9)))]


@check(points=1.5, hint="Each place has a row of its own, also where a token is repeated; each row has all V columns.")
def gradient_agrees_with_differences():
    """On guards that are not linear, the gradient agrees with difference quotients, in 64 bits, also with repeated tokens."""
    def run(messages):
        return [np.asarray(token_gradient(random_guard(seed, vocabulary), list(ids)).detach()) for seed, vocabulary, ids in messages]

    for (seed, vocabulary, ids), found in zip(MESSAGES, probe(run, MESSAGES), strict=True):
        if found.shape != (len(ids), vocabulary):
            fail(f"The shape for {len(ids)} tokens of {vocabulary} is {found.shape}.")
        if not np.allclose(found, differences(random_guard(seed, vocabulary), ids), atol=1e-5):
            fail(f"Wrong for a message of {len(ids)} tokens{', some repeated' if len(set(ids)) < len(ids) else ''}.")


def watched(guard):
    """The rows that the guard reads from now on, as vectors; `score_vectors` is what all reading goes through."""
    rows, read = [], guard.score_vectors

    def score_vectors(vectors):
        rows.extend(vectors.detach())
        return read(vectors)

    guard.score_vectors = score_vectors
    return rows


@check(points=0.5, hint="torch.autograd.grad leaves the parameters' .grad alone; backward() does not. One row is enough for all entries.")
def gradient_leaves_the_guard_alone():
    """token_gradient reads one row, changes no `.grad` and no argument, leaves no graph, and works with frozen weights."""
    def run(frozen):
        guard, ids = random_guard(1, 30).requires_grad_(not frozen), [3, 7, 7, 29]
        guard.out.bias.grad = torch.ones_like(guard.out.bias)
        rows = watched(guard)
        found = token_gradient(guard, ids)
        gradients = [None if p.grad is None else p.grad.tolist() for p in guard.parameters()]
        return len(rows), gradients, bool(found.requires_grad), ids, [bool(p.requires_grad) for p in guard.parameters()], found.detach().numpy()

    truth = differences(random_guard(1, 30), [3, 7, 7, 29])
    for frozen in (False, True):
        rows, gradients, attached, ids, flags, found = probe(run, frozen)
        if rows != 1:
            fail(f"{rows} rows were read instead of one.")
        if [gradient for gradient in gradients if gradient is not None] != [[1.0]]:
            fail("The `.grad` of the guard's parameters has changed.")
        if flags != [not frozen] * len(flags):
            fail("The `requires_grad` of the guard's parameters has changed.")
        if attached or list(ids) != [3, 7, 7, 29] or not np.allclose(found, truth, atol=1e-5):
            fail("A graph is left, an argument was modified, or the gradient is wrong.")


RANKS = {pair: i for i, pair in enumerate(zoo_pieces.merges)}


@cache
def cut(word):
    """Byte-pair encoding by ranks: of all pairs, always the one that was learnt first."""
    parts = list(word)
    while True:
        known = [(RANKS[pair], i) for i, pair in enumerate(itertools.pairwise(parts)) if pair in RANKS]
        if not known:
            return parts
        i = min(known)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def typed(message):
    """Whether tokens are what their text is cut into."""
    names = [zoo_pieces.pieces[i] for i in message]
    return [part for word in re.findall(r" ?[a-z]+| ", "".join(names)) for part in cut(word)] == names


@check(points=1, hint="list(encode(decode(prompt + suffix))) == prompt + suffix: neither the text, nor the suffix alone.")
def survives_as_the_tokenizer_cuts():
    """For random messages of one to six tokens, and for empty suffixes and prompts, `survives` agrees with another tokenizer."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for _ in range(400):
        message = generator.integers(0, len(zoo_pieces), generator.integers(1, 7)).tolist()
        border = int(generator.integers(0, len(message) + 1))
        cases.append((message[:border], message[border:]))
    for text in zoo_messages(50, seed=5)[0]:
        message = zoo_pieces.encode(text)
        cases += [(message[:-1], message[-1:]), (message, [])]

    def run(cases):
        return [(bool(survives(zoo_pieces, prompt, suffix)), prompt, suffix) for prompt, suffix in cases]

    answers = probe(run, [(list(prompt), list(suffix)) for prompt, suffix in cases])
    for (prompt, suffix), (found, *after) in zip(cases, answers, strict=True):
        if found is not typed(prompt + suffix):
            fail(f"Wrong for a prompt of {len(prompt)} and a suffix of {len(suffix)} tokens.")
        if [list(part) for part in after] != [prompt, suffix]:
            fail("An argument was modified.")


# Guard, prompt, tokens of the suffix, queries, width, seed. The shifts are such that some attacks take one step, and some several and restarts.
ATTACKS = [
    (guard, shift, prompt, n_suffix, budget, width, seed)
    for seed, (guard, shift, prompt, n_suffix, budget, width) in enumerate([
        (1, 1.0, "anna hides the cake", 4, 300, 6), (2, 1.5, "ben brings the party today", 5, 300, 10), (3, 2.0, "the vet hides", 3, 200, 3), (4, 1.0, "anna", 1, 60, 5),
        (5, 9.0, "the baker orders the cake", 6, 400, 3), (6, 9.0, "our guide", 2, 61, 400), (7, 9.0, "ben", 2, 3, 5), (8, 9.0, "ben", 2, 2, 5), (9, 9.0, "ben", 2, 1, 5), (9, 9.0, "ben", 2, 0, 5),
        (11, 9.0, "our guide", 1, 300, 400),  # wide enough for all replacements that survive
    ])
]


@cache
def attacked():
    """What suffix_attack returns, and the messages that the guard has read."""
    def run(attacks):
        answers = []
        for number, shift, text, n_suffix, budget, width, seed in attacks:
            guard, prompt = random_guard(number, shift=shift), zoo_pieces.encode(text)
            rows = watched(guard)
            suffix, queries = suffix_attack(guard, zoo_pieces, prompt, n_suffix, budget, width, torch.Generator().manual_seed(seed))
            E = guard.embedding.weight.detach()
            messages = [[int((E - vector).abs().sum(1).argmin()) for vector in row] for row in rows]
            answers.append((None if suffix is None else [int(token) for token in suffix], int(queries), messages, prompt))
        return answers

    return probe(run, ATTACKS)


@check(points=1.5, hint="The guard scores what arrives: prompt and suffix, decoded and encoded. Each row that it reads is a query, those of gradients, too.")
def attacks_arrive_within_the_budget():
    """A suffix that is returned has the length asked for, survives and passes; a start that passes is returned at once; all rows read are counted; None, after all queries, if there is none."""
    for (number, shift, prompt, n_suffix, budget, _, _), (suffix, queries, messages, after) in zip(ATTACKS, attacked(), strict=True):
        ids = zoo_pieces.encode(prompt)
        where = f"for {n_suffix} tokens and {budget} queries"
        if list(after) != ids:
            fail("The prompt was modified.")
        if queries != len(messages):
            fail(f"{len(messages)} rows were read and {queries} queries reported {where}.")
        if queries > budget:
            fail(f"More queries than allowed {where}.")
        if suffix is None:
            if queries != budget:
                fail(f"Nothing was found, but not all queries were spent {where}.")
            continue
        if len(suffix) != n_suffix or not typed(ids + suffix):
            fail(f"The suffix has another length, or does not survive {where}.")
        with torch.no_grad():
            if random_guard(number, shift=shift)(torch.tensor([ids + suffix])) >= 0:
                fail(f"A suffix was returned that the guard holds back {where}.")

    class OneToken:
        """A tokenizer that knows nothing but the letter a."""

        def __len__(self):
            return 1

        def encode(self, text):
            return [0] * len(text)

        def decode(self, ids):
            return "a" * len(ids)

    def run():
        found = []
        for guard, tokenizer, prompt, n_suffix, budget in (
            (bag_guard([0.0] * 27), Pieces([]), [1, 2, 3], 2, 40),
            (bag_guard([0.0] * 27), Pieces([]), [1, 2, 3], 3, 40),
            (bag_guard([1.0]), OneToken(), [0, 0], 2, 5),
        ):
            if n_suffix == 3:  # with or without a suffix, the length alone decides: .2 for the prompt, -.4 with any suffix
                guard.score_vectors = lambda vectors: 0.8 - 0.2 * vectors.shape[1] + 0 * vectors.sum((1, 2))
            rows = watched(guard)
            suffix, queries = suffix_attack(guard, tokenizer, prompt, n_suffix, budget, 5, torch.Generator().manual_seed(0))
            found.append((None if suffix is None else len(suffix), int(queries), len(rows)))
        level = bag_guard(list(range(27)))
        level.score_vectors = lambda vectors: 0 * vectors.sum((1, 2))
        rows = watched(level)
        suffix_attack(level, Pieces([]), [1, 2, 3], 8, 40, 5, torch.Generator().manual_seed(0))
        return found, [row[:, 0].tolist() for row in rows]

    (zeros, at_once, single), rows = probe(run)
    # A new random suffix of eight letters differs in two places or fewer with probability 7e-8.
    apart = [sum(a != b for a, b in zip(row, rows[0], strict=True)) for row in rows]
    if next((n for n in apart if n > 1), 0) < 3:
        fail("An equal score is not a lower one: the search has to go on from a new random suffix.")
    if zeros != (None, 40, 40):
        fail("Where all scores are exactly 0, nothing passes, and all queries are spent.")
    if at_once != (3, 1, 1):
        fail("Where the first random suffix passes, it is to be returned after one query.")
    if single != (None, 5, 5):
        fail("Where the tokenizer knows a single token, no replacement exists: each step begins with a new suffix, until all queries are spent.")


@cache
def gradients(number, shift, message):
    """The gradient at a message, by a one-hot matrix."""
    guard = random_guard(number, shift=shift)
    one_hot = F.one_hot(torch.tensor(message), len(zoo_pieces)).double().requires_grad_()
    return torch.autograd.grad(guard.score_vectors((one_hot @ guard.embedding.weight.detach())[None])[0], one_hot)[0].numpy()


@check(points=2, hint="Predict G[i, v] - G[i, present token] for the suffix's places; read the lowest that survive; go on from the best if it is lower, otherwise from a new random suffix.")
def each_step_reads_what_the_gradient_promises():  # noqa: PLR0912
    """The messages read are those of the algorithm: a start that survives, a gradient, the `width` most promising replacements that survive; then on from the best, or from a new start."""
    for (number, shift, prompt, n_suffix, budget, width, _), (suffix, _, messages, _) in zip(ATTACKS, attacked(), strict=True):
        guard, ids, i, present = random_guard(number, shift=shift), zoo_pieces.encode(prompt), 0, None
        left = []  # messages that the search began with, or gave up

        def scores(rows, guard=guard):
            with torch.no_grad():
                return guard(torch.tensor(rows)).tolist()

        while i < len(messages):
            if present is None:
                present = messages[i]
                if len(present) != len(ids) + n_suffix or present[: len(ids)] != ids or not typed(present):
                    fail("A start has another prompt or length, or does not survive.")
                # A new random suffix of five tokens has four in common with an old one with probability 1e-8.
                if n_suffix >= 5 and any(sum(a != b for a, b in zip(present, old, strict=True)) < 2 for old in left):
                    fail("After a step without success, the search has to go on from a new random suffix.")
                left.append(present)
                if scores([present])[0] < 0:
                    break
                i += 1
                if i < len(messages) and messages[i] == present:  # read for its score, and again for the gradient
                    i += 1
            elif messages[i] == present:
                i += 1
            else:
                fail("A step has to take the gradient at the best message of the step before, or to begin with a new suffix after a step without success.")
            gradient = gradients(number, shift, tuple(present))
            change = gradient - gradient[range(len(present)), present][:, None]
            promised = []
            for place, token in sorted(((p, v) for p in range(len(ids), len(present)) for v in range(len(zoo_pieces))), key=lambda pair: change[pair]):
                message = [*present[:place], token, *present[place + 1 :]]
                if token != present[place] and typed(message):
                    promised.append(message)
                if len(promised) == width:
                    break
            read = messages[i : i + len(promised)]
            i += len(read)
            complete = i < len(messages) or (suffix is None and len(messages) < budget)
            if not all(message in promised for message in read) or (complete and sorted(read) != sorted(promised)):
                fail("The candidates of a step are not those with the lowest predicted change that survive.")
            if not read:
                break
            found = scores(read)
            best = min(range(len(read)), key=found.__getitem__)
            if found[best] < 0:
                if i < len(messages):
                    fail("The search went on after a message had passed.")
                break
            if found[best] < scores([present])[0]:
                present = read[best]
            else:
                left.append(present)
                present = None


@check(points=0.5, hint="Draw with the generator that is handed over, and with nothing else.")
def starts_come_from_the_generator():
    """The same generator state gives the same search, another one another start."""
    def run(seed):
        guard = random_guard(6, shift=9.0)
        rows = watched(guard)
        suffix_attack(guard, zoo_pieces, zoo_pieces.encode("anna"), 6, 1, 4, torch.Generator().manual_seed(seed))
        return [row.tolist() for row in rows]

    first, again, other = (probe(run, seed) for seed in (3, 3, 4))
    if first != again:
        fail("Two searches with equal generators begin with different suffixes.")
    if first == other:
        fail("Two searches with different generators begin with the same suffix.")  # two of 147 ** 6 suffixes agree with less than 1e-6


@check(points=2, hint="Prompts with a score not above 0 do not count. Success: the text begins with the prompt and, encoded again, scores below 0.")
def success_on_what_arrives():
    """The rate counts typed texts that begin with their prompts; None is a failure; prompts that pass anyway do not count; NaN if there are no others."""
    pieces = Pieces([("t", "h"), ("th", "e"), (" ", "x")])
    number = pieces.numbers
    weights = [1.0] * len(pieces)
    for piece, weight in (("t", -99.0), ("q", -99.0), (" x", -99.0), ("the", 50.0), ("z", -1.0), ("y", -2.5)):
        weights[number[piece]] = weight
    a, space = number["a"], number[" "]
    cases = [
        (["aa", "aa"], [[a, a, space, number["t"], number["h"], number["e"]], [a, a, space, number["q"]]], 0.5),  # t-h-e passes by its tokens only
        (["aa"], [[a, a, space, number["x"]]], 1.0),  # by its tokens it is held back
        (["aa "], [[a, a, space, number["x"]]], 1.0),  # the text begins with the prompt's, the tokens that arrive do not with its tokens
        (["aa", "aa", "ab"], [None, [a, a, number["q"]], None], 1 / 3),
        (["aq", "aa"], [[a, number["q"]], [a, a]], 0.0),  # the first passes anyway
        (["aq", "q"], [None, None], math.nan),
        (["az"], [[a, number["z"], number["q"]]], math.nan),  # the score is exactly 0: not held back
        (["aa"], [[a, a, number["z"], number["z"]]], 0.0),  # the score is exactly 0: not below
        (["aaa", "aaa"], [[a, a, number["q"]], [number["q"], a, a, a]], 0.0),  # another prompt
        (["aa"], [[a, a, number["y"]]], 1.0),  # little below 0
        ([], [], math.nan),
    ]

    def run(cases):
        return [(float(success_rate(bag_guard(weights), pieces, prompts, attacks)), attacks) for prompts, attacks, _ in cases]

    for (prompts, attacks, truth), (found, after) in zip(cases, probe(run, cases), strict=True):
        if not (math.isnan(truth) and math.isnan(found)) and not abs(found - truth) < 1e-9:
            fail(f"Wrong for {len(prompts)} prompts.")
        if [None if attack is None else list(attack) for attack in after] != attacks:
            fail("An argument was modified.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# A guard is trained on 5,000 messages, each with up to 12 random tokens behind it. Then 20 messages about the party get a suffix of eight tokens: by your search, and by one that reads *random* replacements. Each searches once with a tokenizer for which everything survives ("tokens"), and once with the real one ("typed"). **Predict:** how many of the suffixes that were found as tokens still work when their text is typed?

# %% tags=["demo", "nbval-ignore-output"]
class NothingIsTyped:
    """A tokenizer for attacks on tokens: a message arrives as it is."""

    def __len__(self):
        return len(zoo_pieces)

    def encode(self, text):
        return list(text)

    def decode(self, ids):
        return tuple(ids)


def typed_messages(n, seed, most):
    """Messages with up to `most` random tokens behind them, as they arrive: for each length (tokens, whether they are about the party)."""
    generator, groups = np.random.default_rng(seed), {}
    for text, secret in zip(*zoo_messages(n, seed), strict=True):
        extra = generator.integers(0, len(zoo_pieces), generator.integers(0, most + 1)).tolist()
        ids = zoo_pieces.encode(text + zoo_pieces.decode(extra))
        groups.setdefault(len(ids), []).append((ids, float(secret)))
    return [(torch.tensor([ids for ids, _ in group]), torch.tensor([secret for _, secret in group])) for group in groups.values()]


def train_guard(steps=600, seed=0, pooling="mean"):
    """A guard for the zoo's messages, trained with random tokens behind them, and the share of new ones, with and without, that it judges correctly."""
    torch.manual_seed(seed)
    guard = Guard(len(zoo_pieces))
    if pooling == "evidence":  # adds up evidence for the party only: no pair of tokens can lower the score
        guard.score_vectors = lambda vectors: (
            (guard.pairs(torch.cat([vectors[:, :-1], vectors[:, 1:]], -1)).relu() @ guard.out.weight.abs().T).amax(1).squeeze(-1) - 1
        )
    optimizer = torch.optim.Adam(guard.parameters(), lr=0.01)
    batches = [pair for ids, secret in typed_messages(5000, 1, 12) for pair in zip(ids.split(64), secret.split(64), strict=True)]
    for step in range(steps):
        if step % len(batches) == 0:
            order = torch.randperm(len(batches)).tolist()
        ids, secret = batches[order[step % len(batches)]]
        loss = F.binary_cross_entropy_with_logits(guard(ids), secret)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = [torch.cat([(guard(ids) > 0) == (secret > 0) for ids, secret in typed_messages(500, 2, most)]) for most in (0, 12)]
    return guard, *(float(found.float().mean()) for found in right)


def random_attack(guard, tokenizer, prompt, n_suffix, max_queries, width, generator):
    """As suffix_attack, but the replacements are drawn at random, and no gradient is asked for."""
    suffix, queries, best = [], 0, math.inf
    while len(suffix) < n_suffix:
        token = int(torch.randint(len(tokenizer), (1,), generator=generator))
        suffix += [token] * survives(tokenizer, prompt, [*suffix, token])
    candidates = [suffix]
    while queries < max_queries:
        with torch.no_grad():
            found = guard(torch.tensor([[*prompt, *candidate] for candidate in candidates]))
        queries += len(candidates)
        if found.min() < best:
            best, suffix = float(found.min()), candidates[int(found.argmin())]
        if best < 0:
            return suffix, queries
        candidates = []
        while len(candidates) < min(width, max(1, max_queries - queries)):
            place, token = (int(torch.randint(high, (1,), generator=generator)) for high in (n_suffix, len(tokenizer)))
            candidate = [*suffix[:place], token, *suffix[place + 1 :]]
            candidates += [candidate] * survives(tokenizer, prompt, candidate)
    return None, queries


def draw_attacks(pooling="mean", seed=0, n_prompts=20, n_suffix=8, max_queries=400, width=8):
    survives(zoo_pieces, [1], [2])  # the quickest way to find out whether there is an answer
    guard, plain, extended = train_guard(seed=seed, pooling=pooling)
    texts = [text for text, secret in zip(*zoo_messages(200, seed=3), strict=True) if secret]
    with torch.no_grad():
        prompts = [text for text in texts if guard(torch.tensor([zoo_pieces.encode(text)]))[0] > 0][:n_prompts]
    print(f"The guard judges {plain:.0%} of new messages correctly, and {extended:.0%} of those with up to 12 random tokens behind them.")
    _, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.3), width_ratios=(3, 2))
    bars = []
    for row, (name, attack) in enumerate([("gradient", suffix_attack), ("random", random_attack)]):
        for tokenizer, what in ((NothingIsTyped(), "tokens"), (zoo_pieces, "typed")):
            generator = torch.Generator().manual_seed(seed)
            found = [attack(guard, tokenizer, zoo_pieces.encode(prompt), n_suffix, max_queries, width, generator) for prompt in prompts]
            attacks = [None if suffix is None else [*zoo_pieces.encode(prompt), *suffix] for prompt, (suffix, _) in zip(prompts, found, strict=True)]
            needed = sorted(queries for suffix, queries in found if suffix is not None)
            left.step([0, *needed, max_queries], [100 * i / len(prompts) for i in (*range(len(needed) + 1), len(needed))], where="post", color=f"C{row}", ls="-" if what == "typed" else "--", label=f"{name}, {what}")
            bars.append((f"{name},\n{what}", len(needed) / len(prompts), success_rate(guard, zoo_pieces, prompts, attacks)))
            if name == "gradient" and what == "typed" and needed:
                print("For example:", repr(zoo_pieces.decode(next(attack for attack in attacks if attack))))
    left.set(xlabel="queries", ylabel="found, in %", title="Suffixes found", xlim=(0, 200), ylim=(-3, 105))
    left.legend(fontsize=8, loc="lower right")
    places = np.arange(len(bars))
    right.bar(places - 0.2, [100 * found for _, found, _ in bars], 0.38, color="0.75", label="as found")
    right.bar(places + 0.2, [100 * arrived for _, _, arrived in bars], 0.38, color="C2", hatch="//", label="when typed")
    right.set(title="Success, in %", ylim=(0, 125))
    right.set_xticks(places, [name for name, _, _ in bars], fontsize=8)
    right.legend(fontsize=8, ncols=2, loc="upper center")
    plt.show()


try:
    draw_attacks()
except NotImplementedError:
    print("This figure needs your functions of exercise 7.2.")

# %% [markdown]
# **Left:** with the gradient, half of the suffixes are found within 19 to 28 queries, without it within 45 to 73 (six seeds).
#
# **Right:** a search with the real tokenizer loses nothing, and takes hardly longer. Of the suffixes that were found as tokens, 5 to 25 % arrive as they are. Some others are cut into tokens that deceive the guard, too: it takes the mean over all pairs, so many odd pairs can outvote the party. In all, 15 to 45 % succeed. These shares depend on the tokenizer.
#
# And training with random tokens has not protected the guard from chosen ones.
#
# ### The real thing
#
# Against a chat model, the target is the probability of an answer that begins with "Sure, here is", and one suffix is sought for many prompts at once. Zou et al. report that suffixes found on open models also worked on others, which can only be asked.
#
# **Change, predict, run.** `draw_attacks(pooling="evidence")` trains a guard that takes the *largest* value over all pairs of tokens, from weights that cannot be negative, minus 1: evidence for the party only. What can a suffix do now? And the attacker?
#
# <details><summary>Answer</summary>
#
# Nothing: a suffix that survives adds pairs and takes none away, and a maximum over more pairs is not smaller. All bars are 0, whatever the search; that is a proof, not a failed attempt. But the *prompt* may be changed: with "c a k e" for "cake", and the like, between a quarter and all of the messages about the party pass this guard (four seeds).
# </details>
