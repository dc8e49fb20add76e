# Right: encode looks for the pair of lowest rank again and again, and joins one place at a time; pieces are remembered

def pairs(tokens):
    return list(zip(tokens, tokens[1:]))


def join(tokens, at, new):
    return tokens[:at] + (new,) + tokens[at + 2 :]


def train_bpe(text, vocab_size):
    if not vocab_size >= 256:
        raise ValueError(vocab_size)
    words = Counter(tuple(piece.encode()) for piece in split_text(text))
    merges = []
    while len(merges) + 256 < vocab_size:
        counts = Counter()
        for word, n in words.items():
            for pair in pairs(word):
                counts[pair] += n
        ranked = sorted(counts, key=lambda pair: (-counts[pair], *pair))
        if len(ranked) == 0:
            break
        changed = Counter()
        for word, n in words.items():
            while ranked[0] in pairs(word):
                word = join(word, pairs(word).index(ranked[0]), 256 + len(merges))
            changed[word] += n
        words = changed
        merges += [ranked[0]]
    return merges


def encode(text, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    known = {}
    ids = []
    for piece in split_text(text):
        if piece not in known:
            tokens = tuple(piece.encode("utf-8"))
            while True:
                found = [(rank[pair], at) for at, pair in enumerate(pairs(tokens)) if pair in rank]
                if not found:
                    break
                i, at = min(found)
                tokens = join(tokens, at, 256 + i)
            known[piece] = tokens
        ids.extend(known[piece])
    return ids


def token_bytes(merges):
    table = list(map(int.to_bytes, range(256)))
    for pair in merges:
        table += [b"".join(table[part] for part in pair)]
    return table


def decode(ids, merges):
    if len(ids) > 0 and (min(ids) < 0 or max(ids) > 255 + len(merges)):
        raise ValueError("an id is outside of the vocabulary")
    table = token_bytes(merges)
    joined = bytearray()
    for i in ids:
        joined += table[i]
    return joined.decode(errors="replace")
