# Right: loops; sets of n-grams by zip; a sorted list of statistics; statistics of the standard library
def ngram_overlap(examples, documents, n):
    if n <= 0:
        raise ValueError("n")
    known = set()
    for document in documents:
        known.update(zip(*(document[i:] for i in range(n)), strict=False))
    shares = []
    for example in examples:
        found = [gram in known for gram in zip(*(example[i:] for i in range(n)), strict=False)]
        shares.append(float("nan") if not found else found.count(True) / len(found))
    return np.array(shares, dtype=float)


def order_test(examples, score, n_shards, orders):
    from bisect import bisect_left

    size, rest = divmod(len(examples), n_shards)
    if rest:
        raise ValueError("unequal shards")
    statistics = []
    for row in np.asarray(orders).tolist():
        total = 0.0
        for s, places in enumerate(row):
            total += score([examples[s * size + place] for place in places])
        statistics.append(total)
    published = 0.0
    for s in range(n_shards):
        published += score(list(examples[s * size : s * size + size]))
    statistics.append(published)
    statistics.sort()
    return (len(statistics) - bisect_left(statistics, published)) / len(statistics)


def rephrase_gap(original, rephrased, reference=None):
    import statistics

    def mean(row):
        there = [float(x) for x in row if x == x]
        return statistics.fmean(there) if there else math.nan

    drops = [float(y) - mean(row) for y, row in zip(original, rephrased, strict=True)]
    if reference is not None:
        drops = [drop - (float(y) - mean(row)) for drop, y, row in zip(drops, *reference, strict=True)]
    drops = [drop for drop in drops if not math.isnan(drop)]
    if len(drops) < 2:
        raise ValueError("too few")
    return {"error": statistics.stdev(drops) / len(drops) ** 0.5, "gap": statistics.fmean(drops)}
