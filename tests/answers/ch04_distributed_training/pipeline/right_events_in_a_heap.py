# Right: operations are started by events from a heap; 1F1B from the general rule with one loop
import heapq


def gpipe(n_stages, n_micro):
    schedule = []
    for _ in range(n_stages):
        operations = []
        for kind in ("F", "B"):
            for i in range(n_micro):
                operations.append((kind, i))
        schedule.append(operations)
    return schedule


def one_f_one_b(n_stages, n_micro):
    schedule = [[] for _ in range(n_stages)]
    for stage, operations in enumerate(schedule):
        kept, waiting, gone = [], list(range(n_micro)), 0
        while waiting or kept:
            if waiting and len(kept) < n_stages - stage:
                kept.append(waiting.pop(0))
                operations.append(("F", kept[-1]))
            else:
                operations.append(("B", kept.pop(0)))
    return schedule


def simulate(schedule, forward, backward):
    queues = [list(operations) for operations in schedule]
    starts, finished, busy_until = [[] for _ in queues], set(), [0] * len(queues)
    kept, peaks = [0] * len(queues), [0] * len(queues)
    events, worked, now = [], 0, 0

    def ready(stage):
        kind, i = queues[stage][0]
        if kind == "F":
            return stage == 0 or (stage - 1, "F", i) in finished
        return (stage, "F", i) in finished and (stage + 1 == len(queues) or (stage + 1, "B", i) in finished)

    working = [False] * len(queues)
    while True:
        for stage in range(len(queues)):
            if queues[stage] and not working[stage] and ready(stage):
                kind, i = queues[stage].pop(0)
                duration = forward[stage] if kind == "F" else backward[stage]
                heapq.heappush(events, (now + duration, stage, kind, i))
                starts[stage].append(now)
                working[stage] = True
                worked += duration
                if kind == "F":
                    kept[stage] += 1
                    peaks[stage] = max(peaks[stage], kept[stage])
        if not events:
            break
        now = events[0][0]
        while events and events[0][0] == now:
            _, stage, kind, i = heapq.heappop(events)
            finished.add((stage, kind, i))
            working[stage] = False
            if kind == "B":
                kept[stage] -= 1
    if any(queues):
        raise ValueError("stages wait for each other")
    return Timeline(starts=starts, idle=1.0 - worked / now / len(queues), peaks=peaks)
