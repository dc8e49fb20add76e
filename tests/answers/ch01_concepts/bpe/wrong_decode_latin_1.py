# Wrong: bytes are decoded as Latin-1
# Fails: decodes_what_was_encoded, decodes_any_ids

def merge(tokens, pair, new):
    merged, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError("a vocabulary has at least 256 tokens")
    times = Counter(split_text(text))
    pieces = {piece: list(piece.encode()) for piece in times}
    merges = []
    while len(merges) < vocab_size - 256:
        counts = Counter()
        for piece, tokens in pieces.items():
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += times[piece]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for piece, tokens in pieces.items():
            pieces[piece] = merge(tokens, best, 255 + len(merges))
    return merges


def encode(text, merges):
    ids = []
    for piece in split_text(text):
        tokens = list(piece.encode())
        for i, pair in enumerate(merges):
            tokens = merge(tokens, pair, 256 + i)
        ids += tokens
    return ids


def token_bytes(merges):
    table = [bytes([i]) for i in range(256)]
    for a, b in merges:
        table.append(table[a] + table[b])
    return table


def decode(ids, merges):
    table = token_bytes(merges)
    for i in ids:
        if i < 0 or i >= len(table):
            raise ValueError(f"there is no token {i}")
    return b"".join([table[i] for i in ids]).decode("latin-1")
