# Right: the text is one array with a mark between pieces, and pairs are counted with np.unique

def as_array(text):
    tokens = []
    for piece in split_text(text):
        tokens += [*piece.encode(), -1]
    return np.array(tokens, dtype=np.int64)


def merge(tokens, a, b, new):
    places = np.flatnonzero((tokens[:-1] == a) & (tokens[1:] == b))
    kept, last = [], -2
    for place in places.tolist():
        if place > last + 1:
            kept.append(place)
            last = place
    tokens = tokens.copy()
    tokens[kept] = new
    return np.delete(tokens, np.array(kept, dtype=np.int64) + 1)


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError("vocab_size < 256")
    tokens, merges = as_array(text), []
    for new in range(256, vocab_size):
        codes = (tokens[:-1] * 100_000 + tokens[1:])[(tokens[:-1] >= 0) & (tokens[1:] >= 0)]
        if codes.size == 0:
            break
        values, counts = np.unique(codes, return_counts=True)
        a, b = divmod(int(values[counts.argmax()]), 100_000)
        merges.append((a, b))
        tokens = merge(tokens, a, b, new)
    return merges


def encode(text, merges):
    tokens = as_array(text)
    for i, (a, b) in enumerate(merges):
        tokens = merge(tokens, a, b, 256 + i)
    return tokens[tokens >= 0].tolist()


def token_bytes(merges):
    table = {token: bytes([token]) for token in range(256)}
    for i, (a, b) in enumerate(merges):
        table[256 + i] = table[a] + table[b]
    return list(table.values())


def decode(ids, merges):
    table = token_bytes(merges)
    if not all(i in range(len(table)) for i in ids):
        raise ValueError("no such token")
    text = b""
    for i in ids:
        text += table[i]
    return text.decode(errors="replace")
