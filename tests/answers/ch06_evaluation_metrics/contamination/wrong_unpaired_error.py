# Wrong: the error of two independent means
# Fails: measures_gaps_by_hand, gap_is_paired
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
    def parts(original, rephrased):
        original, rephrased = np.asarray(original, dtype=float), np.asarray(rephrased, dtype=float)
        there = ~np.isnan(rephrased)
        counts = there.sum(1)
        return original, np.where(there, rephrased, 0).sum(1) / np.where(counts > 0, counts, np.nan)

    columns = [*parts(original, rephrased), *(parts(*reference) if reference is not None else ())]
    kept = ~np.isnan(sum(columns))
    if kept.sum() < 2:
        raise ValueError("fewer than two questions are left")
    columns = [column[kept] for column in columns]
    signs = (1, -1, -1, 1)
    gap = sum(sign * column.mean() for sign, column in zip(signs, columns, strict=False))
    return {"gap": float(gap), "error": float(math.sqrt(sum(column.var(ddof=1) for column in columns) / kept.sum()))}
