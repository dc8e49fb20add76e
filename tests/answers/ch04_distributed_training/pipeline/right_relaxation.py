# Right: times are pushed up until nothing changes; more rounds than operations mean a circle
def gpipe(n_stages, n_micro):
    return [list(zip("F" * n_micro + "B" * n_micro, [*range(n_micro)] * 2, strict=True)) for _ in range(n_stages)]


def one_f_one_b(n_stages, n_micro):
    lists = []
    for ahead in range(n_stages, 0, -1):
        ahead = min(ahead, n_micro)
        pairs = [operation for i in range(n_micro) for operation in (("B", i), ("F", i + ahead)) if operation[0] == "B" or operation[1] < n_micro]
        lists.append([("F", i) for i in range(ahead)] + pairs)
    return lists


def simulate(schedule, forward, backward):
    nodes = {(s, kind, i): (forward if kind == "F" else backward)[s] for s, row in enumerate(schedule) for kind, i in row}
    edges = []
    for s, row in enumerate(schedule):
        for before, after in zip(row, row[1:], strict=False):
            edges.append(((s, *before), (s, *after)))
        for kind, i in row:
            if kind == "F" and s > 0:
                edges.append(((s - 1, "F", i), (s, "F", i)))
            if kind == "B":
                edges.append(((s, "F", i), (s, "B", i)))
                if s + 1 < len(schedule):
                    edges.append(((s + 1, "B", i), (s, "B", i)))
    if any(node not in nodes for node, _ in edges):
        raise ValueError("something is missing")
    times = dict.fromkeys(nodes, 0)
    for _ in range(len(nodes) + 1):
        changed = False
        for a, b in edges:
            if times[a] + nodes[a] > times[b]:
                times[b] = times[a] + nodes[a]
                changed = True
        if not changed:
            break
    else:
        raise ValueError("a circle")
    span = max(times[node] + nodes[node] for node in nodes)
    peaks = [max((sum(1 if kind == "F" else -1 for kind, _ in row[: k + 1]) for k in range(len(row))), default=0) for row in schedule]
    return Timeline([[times[s, kind, i] for kind, i in row] for s, row in enumerate(schedule)], 1 - sum(nodes.values()) / (span * len(schedule)), peaks)
