# Wrong: the last stage warms up longest
# Fails: one_f_one_b_by_hand, one_f_one_b_of_any_size
def gpipe(n_stages, n_micro):
    return [[("F", i) for i in range(n_micro)] + [("B", i) for i in range(n_micro)] for _ in range(n_stages)]


def one_f_one_b(n_stages, n_micro):
    schedule = []
    for stage in range(n_stages):
        warmup = min(n_micro, stage)
        operations = [("F", i) for i in range(warmup)]
        for i in range(n_micro - warmup):
            operations += [("F", warmup + i), ("B", i)]
        operations += [("B", i) for i in range(n_micro - warmup, n_micro)]
        schedule.append(operations)
    return schedule


def simulate(schedule, forward, backward):
    n_stages = len(schedule)
    end = {}
    starts = [[] for _ in range(n_stages)]
    clock = [0] * n_stages
    busy = 0
    while any(len(starts[s]) < len(schedule[s]) for s in range(n_stages)):
        progress = False
        for s in range(n_stages):
            if len(starts[s]) == len(schedule[s]):
                continue
            kind, i = schedule[s][len(starts[s])]
            needs = []
            if kind == "F" and s > 0:
                needs.append(("F", i, s - 1))
            if kind == "B":
                needs.append(("F", i, s))
                if s < n_stages - 1:
                    needs.append(("B", i, s + 1))
            if not all(need in end for need in needs):
                continue
            start = max([clock[s]] + [end[need] for need in needs])
            seconds = forward[s] if kind == "F" else backward[s]
            starts[s].append(start)
            clock[s] = start + seconds
            end[kind, i, s] = clock[s]
            busy += seconds
            progress = True
        if not progress:
            raise ValueError("deadlock")
    peaks = []
    for operations in schedule:
        kept = most = 0
        for kind, _ in operations:
            kept += 1 if kind == "F" else -1
            most = max(most, kept)
        peaks.append(most)
    total = max(clock) * n_stages
    return Timeline(starts, (total - busy) / total, peaks)
