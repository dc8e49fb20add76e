# Right: 1F1B from a generator; the timeline is the longest path in a graph of operations, by recursion
from functools import cache


def gpipe(n_stages, n_micro):
    forwards = [("F", i) for i in range(n_micro)]
    backwards = [("B", i) for _, i in forwards]
    return [[*forwards, *backwards] for _ in range(n_stages)]


def one_f_one_b(n_stages, n_micro):
    def stage_operations(room):
        forward = backward = 0
        while backward < n_micro:
            while forward < n_micro and forward - backward < room:
                yield "F", forward
                forward += 1
            yield "B", backward
            backward += 1

    return [list(stage_operations(n_stages - stage)) for stage in range(n_stages)]


def simulate(schedule, forward, backward):
    position = {(s, *operation): k for s, operations in enumerate(schedule) for k, operation in enumerate(operations)}
    last = len(schedule) - 1
    visiting = set()

    @cache
    def begin(s, kind, i):
        if (s, kind, i) not in position or (s, kind, i) in visiting:
            raise ValueError(f"{kind}{i} of stage {s} never comes")
        visiting.add((s, kind, i))
        needs = []
        k = position[s, kind, i]
        if k:
            needs.append((s, *schedule[s][k - 1]))
        if kind == "B":
            needs.append((s, "F", i))
            if s < last:
                needs.append((s + 1, "B", i))
        elif s:
            needs.append((s - 1, "F", i))
        moment = max([finish(*need) for need in needs], default=0)
        visiting.discard((s, kind, i))
        return moment

    def finish(s, kind, i):
        return begin(s, kind, i) + {"F": forward, "B": backward}[kind][s]

    starts = [[begin(s, kind, i) for kind, i in operations] for s, operations in enumerate(schedule)]
    end = max(finish(*node) for node in position)
    work = sum({"F": forward, "B": backward}[kind][s] for s, kind, _ in position)
    running = [np.cumsum([{"F": 1, "B": -1}[kind] for kind, _ in operations]) for operations in schedule]
    return Timeline(starts, 1 - work / (end * len(schedule)), [int(r.max()) if len(r) else 0 for r in running])
