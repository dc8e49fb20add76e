# Right: a piece is a string with one character a token, and a merge is str.replace

def letters(piece):
    return "".join(chr(0xE000 + byte) for byte in piece.encode())


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError("too small")
    joined = [letters(piece) for piece in split_text(text)]
    merges = []
    for new in range(256, vocab_size):
        counts = {}
        for piece in joined:
            for i in range(len(piece) - 1):
                counts[piece[i : i + 2]] = counts.get(piece[i : i + 2], 0) + 1
        if not counts:
            return merges
        top = max(counts.values())
        pair = min(pair for pair in counts if counts[pair] == top)
        joined = [piece.replace(pair, chr(0xE000 + new)) for piece in joined]
        merges.append((ord(pair[0]) - 0xE000, ord(pair[1]) - 0xE000))
    return merges


def encode(text, merges):
    ids = []
    for piece in split_text(text):
        piece = letters(piece)
        for i, (a, b) in enumerate(merges):
            piece = piece.replace(chr(0xE000 + a) + chr(0xE000 + b), chr(0xE100 + i))
        ids.extend(ord(letter) - 0xE000 for letter in piece)
    return ids


def token_bytes(merges):
    def spell(token):
        return bytes((token,)) if token < 256 else spell(merges[token - 256][0]) + spell(merges[token - 256][1])

    return [spell(token) for token in range(256 + len(merges))]


def decode(ids, merges):
    table = dict(enumerate(token_bytes(merges)))
    if set(ids) - set(table):
        raise ValueError("unknown token")
    return str(b"".join(map(table.__getitem__, ids)), "utf-8", "replace")
