# Right: dictionaries of first positions; all statistics as one array; masked arrays
def ngram_overlap(examples, documents, n):
    if n < 1:
        raise ValueError("n has to be at least 1")
    counts = {}
    for document in documents:
        for end in range(n, len(document) + 1):
            gram = tuple(document[end - n : end])
            counts[gram] = counts.get(gram, 0) + 1
    shares = np.full(len(examples), np.nan)
    for row, example in enumerate(examples):
        positions = len(example) - n + 1
        if positions > 0:
            shares[row] = np.mean([counts.get(tuple(example[i : i + n]), 0) > 0 for i in range(positions)])
    return shares


def order_test(examples, score, n_shards, orders):
    if len(examples) % n_shards != 0:
        raise ValueError("the last shard would be shorter")
    size = len(examples) // n_shards
    everything = np.concatenate([np.arange(size)[None, None].repeat(n_shards, axis=1), orders])
    offset = size * np.arange(n_shards)[:, None]
    totals = np.array([[score([examples[i] for i in row]) for row in table] for table in everything + offset]).sum(1)
    return float(np.mean(totals >= totals[0]))


def rephrase_gap(original, rephrased, reference=None):
    columns = [(1, original, rephrased)] + ([] if reference is None else [(-1, *reference)])
    total = 0
    for sign, one, many in columns:
        one = np.ma.masked_invalid(np.array(one, dtype=float))
        many = np.ma.masked_invalid(np.array(many, dtype=float))
        total = total + sign * (one - many.mean(axis=1))
    drops = np.ma.compressed(total)
    if drops.size < 2:
        raise ValueError("not enough questions")
    return {"gap": drops.mean(), "error": np.sqrt(((drops - drops.mean()) ** 2).sum() / (drops.size - 1) / drops.size)}
