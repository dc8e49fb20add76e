# Wrong: no error if one question is left
# Fails: gap_with_missing_answers
def ngram_overlap(examples, documents, n):
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


def order_test(examples, score, n_shards, orders):
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


def rephrase_gap(original, rephrased, reference=None):
    def drops(original, rephrased):
        there = ~np.isnan(rephrased)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, for a question without rephrasings
            return original - np.where(there, rephrased, 0).sum(1) / there.sum(1)

    d = drops(original, rephrased)
    if reference is not None:
        d = d - drops(*reference)
    d = d[~np.isnan(d)]
    if len(d) < 1:
        raise ValueError("fewer than two questions are left")
    return {"gap": float(d.mean()), "error": float(d.std(ddof=1) / math.sqrt(len(d)))}
