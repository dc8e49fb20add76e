# Wrong: the time ends with the operation that begins last
# Fails: any_schedule_runs_as_second_by_second
def gpipe(n_stages: int, n_micro: int) -> list[list[Operation]]:
    return [
        [("F", i) for i in range(n_micro)] + [("B", i) for i in range(n_micro)]
        for _ in range(n_stages)
    ]


def one_f_one_b(n_stages: int, n_micro: int) -> list[list[Operation]]:
    schedule = []
    for stage in range(n_stages):
        operations, f, b = [], 0, 0
        while b < n_micro:
            if f < n_micro and f - b < n_stages - stage:
                operations.append(("F", f))
                f += 1
            else:
                operations.append(("B", b))
                b += 1
        schedule.append(operations)
    return schedule


def simulate(schedule: list[list[Operation]], forward: list[int], backward: list[int]) -> Timeline:
    n = len(schedule)
    ends = {}
    starts = [[] for _ in range(n)]
    free = [0] * n
    left = sum(map(len, schedule))
    while left:
        progress = False
        for stage, operations in enumerate(schedule):
            while len(starts[stage]) < len(operations):
                kind, i = operations[len(starts[stage])]
                needs = []
                if kind == "F":
                    if stage > 0:
                        needs.append(("F", i, stage - 1))
                else:
                    needs.append(("F", i, stage))
                    if stage < n - 1:
                        needs.append(("B", i, stage + 1))
                if any(need not in ends for need in needs):
                    break
                start = max([free[stage], *(ends[need] for need in needs)])
                free[stage] = ends[kind, i, stage] = (
                    start + (forward if kind == "F" else backward)[stage]
                )
                starts[stage].append(start)
                left -= 1
                progress = True
        if not progress:
            raise ValueError("deadlock: the operations wait for each other")
    last = max(
        (start, stage, position)
        for stage in range(n)
        for position, start in enumerate(starts[stage])
    )
    total = ends[(*schedule[last[1]][last[2]], last[1])]
    work = sum(
        (forward if kind == "F" else backward)[stage]
        for stage, operations in enumerate(schedule)
        for kind, _ in operations
    )
    peaks = []
    for operations in schedule:
        kept = peak = 0
        for kind, _ in operations:
            kept += 1 if kind == "F" else -1
            peak = max(peak, kept)
        peaks.append(peak)
    return Timeline(starts, 1 - work / (n * total), peaks)
