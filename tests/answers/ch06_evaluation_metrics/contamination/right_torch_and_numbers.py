# Right: n-grams as numbers of a vocabulary; comparisons by differences of the statistics; torch
def ngram_overlap(examples, documents, n):
    if not n >= 1:
        raise ValueError("n < 1")
    # Each n-gram gets a number, built up token by token.
    numbers = {}

    def number(tokens, start):
        code = 0
        for token in tokens[start : start + n]:
            code = numbers.setdefault((code, token), len(numbers) + 1)
        return code

    known = {number(document, i) for document in documents for i in range(len(document) - n + 1)}
    shares = [[number(example, i) in known for i in range(len(example) - n + 1)] for example in examples]
    return np.array([sum(share) / len(share) if share else np.nan for share in shares])


def order_test(examples, score, n_shards, orders):
    if len(examples) != n_shards * (len(examples) // n_shards):
        raise ValueError("remainder")
    places = np.arange(len(examples)).reshape(n_shards, -1)
    published = [score([examples[i] for i in row]) for row in places]
    worse = 0
    for order in orders:
        gains = [score([examples[i] for i in row[np.asarray(new)]]) - old for row, new, old in zip(places, order, published, strict=True)]
        worse += math.fsum(gains) < 0
    m = len(orders)
    return 1 - worse / (1 + m)


def rephrase_gap(original, rephrased, reference=None):
    def drops(one, many):
        one, many = torch.as_tensor(np.array(one, dtype=float)), torch.as_tensor(np.array(many, dtype=float))
        return one - torch.nanmean(many, dim=1)

    d = drops(original, rephrased)
    if reference is not None:
        d = d - drops(*reference)
    d = d[torch.isfinite(d)]
    if d.numel() < 2:
        raise ValueError("two questions are needed")
    return {"gap": d.mean().item(), "error": (d.var() / d.numel()).sqrt().item()}
