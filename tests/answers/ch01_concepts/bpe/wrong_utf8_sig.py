# Wrong: a byte order mark at the start is lost
# Fails: decodes_any_ids
def train_bpe(text: str, vocab_size: int) -> list[tuple[int, int]]:
    """Learns the merges of a byte pair encoding.

    Each merge is the pair of neighbouring tokens that stands at the most places in the text, its
    pieces (`split_text`) being tokenized with the merges so far. Pairs across two pieces do not
    count. Places may overlap: "aaa" has the pair (97, 97) at two of them. Among equally frequent
    pairs the smallest one is taken, as Python compares tuples. The pair is then replaced by the new
    token 256 + i, where i is the number of merges before, from left to right: "aaa" becomes
    256, 97.

    Args:
        text: any text that has a UTF-8 encoding; may be empty.
        vocab_size: the number of tokens, bytes included.

    Returns:
        vocab_size - 256 merges in the order in which they were learnt; fewer if no piece has two
        tokens left. A pair that occurs once is merged, too.

    Raises:
        ValueError: if vocab_size is below 256.

    >>> train_bpe("low lower", 258)
    [(108, 111), (256, 119)]
    """
    if vocab_size < 256:
        raise ValueError("vocab_size must be at least 256")
    pieces = Counter(split_text(text))
    words = [list(piece.encode()) for piece in pieces]
    times = list(pieces.values())
    counts, where = Counter(), {}
    for i, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[i]
            where.setdefault(pair, set()).add(i)
    merges = []
    while len(merges) < vocab_size - 256 and counts:
        best = max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))
        new = 256 + len(merges)
        merges.append(best)
        for i in where.pop(best):
            for pair in pairwise(words[i]):
                counts[pair] -= times[i]
                if counts[pair] == 0:
                    del counts[pair]
            words[i] = merge_pair(words[i], best, new)
            for pair in pairwise(words[i]):
                counts[pair] += times[i]
                where.setdefault(pair, set()).add(i)
    return merges


def merge_pair(word, pair, new):
    merged, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


def encode(text: str, merges: list[tuple[int, int]]) -> list[int]:
    """The tokens of a text.

    Each piece of the text (`split_text`) starts as its bytes. Then the merges are applied to it in
    their order, each at all its places, from left to right.

    Args:
        text: any text that has a UTF-8 encoding; may be empty, and need not be what the merges
            were learnt from.
        merges: different pairs; merge i may use the tokens below 256 + i. Not modified.

    >>> encode("lowest", [(108, 111), (256, 119)])
    [257, 101, 115, 116]
    """
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    known = {}
    ids = []
    for piece in split_text(text):
        if piece not in known:
            word = list(piece.encode())
            while len(word) > 1:
                first = min((rank.get(pair, len(merges)) for pair in pairwise(word)))
                if first == len(merges):
                    break
                word = merge_pair(word, tuple(merges[first]), 256 + first)
            known[piece] = word
        ids += known[piece]
    return ids


def token_bytes(merges: list[tuple[int, int]]) -> list[bytes]:
    """The bytes that each token stands for: entry t for token t, 256 + len(merges) of them.

    Args:
        merges: as for `encode`. Not modified.

    >>> token_bytes([(108, 111), (256, 119)])[255:]
    [b'\\xff', b'lo', b'low']
    """
    table = [bytes([i]) for i in range(256)]
    for a, b in merges:
        table.append(table[a] + table[b])
    return table


def decode(ids: list[int], merges: list[tuple[int, int]]) -> str:
    """The text of any list of tokens, such as a model may write.

    Its bytes need not be valid UTF-8; then the replacement character U+FFFD stands for what is
    not, as in `bytes.decode(errors="replace")`.

    Args:
        ids: may be empty. Not modified.
        merges: as for `encode`. Not modified.

    Raises:
        ValueError: if there is no such token: an id is negative, or 256 + len(merges) or more.

    >>> decode([257, 101, 195], [(108, 111), (256, 119)])
    'lowe\ufffd'
    """
    table = token_bytes(merges)
    for token in ids:
        if not 0 <= token < len(table):
            raise ValueError(f"there is no token {token}")
    return b"".join(table[token] for token in ids).decode("utf-8-sig", errors="replace")
