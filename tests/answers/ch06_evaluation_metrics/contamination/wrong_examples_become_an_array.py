# Wrong: order_test makes an array of the examples, so different types become one
# Fails: scores_what_it_should
def ngram_overlap(examples: list[list], documents: list[list], n: int) -> np.ndarray:
    if n < 1:
        raise ValueError("n has to be 1 or more")
    seen = {tuple(document[i : i + n]) for document in documents for i in range(len(document) - n + 1)}
    shares = np.full(len(examples), np.nan)
    for number, example in enumerate(examples):
        grams = [tuple(example[i : i + n]) for i in range(len(example) - n + 1)]
        if grams:
            shares[number] = sum(gram in seen for gram in grams) / len(grams)
    return shares


def order_test(examples: list, score, n_shards: int, orders: np.ndarray) -> float:
    if len(examples) % n_shards:
        raise ValueError("the number of examples is not a multiple of n_shards")
    size = len(examples) // n_shards
    shards = [list(shard) for shard in np.array(examples).reshape(n_shards, size, *np.array(examples).shape[1:])]
    published = math.fsum(float(score(list(shard))) for shard in shards)
    count = 1
    for order in orders:
        shuffled = math.fsum(float(score([shard[i] for i in row])) for shard, row in zip(shards, order))
        count += shuffled >= published
    return float(count / (1 + len(orders)))


def rephrase_gap(original: np.ndarray, rephrased: np.ndarray, reference: tuple[np.ndarray, np.ndarray] | None = None) -> dict[str, float]:
    def drops(original, rephrased):
        original, rephrased = np.asarray(original, dtype=float), np.asarray(rephrased, dtype=float)
        there = ~np.isnan(rephrased)
        number = there.sum(axis=1)
        means = np.where(there, rephrased, 0).sum(axis=1) / np.maximum(number, 1)
        return np.where(number > 0, original - means, np.nan)

    d = drops(original, rephrased)
    if reference is not None:
        d = d - drops(*reference)
    d = d[~np.isnan(d)]
    if len(d) < 2:
        raise ValueError("fewer than two questions are left")
    return {"gap": float(d.mean()), "error": float(d.std(ddof=1) / math.sqrt(len(d)))}
