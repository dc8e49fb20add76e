# Wrong: a page that does not exist is None
# Fails: results_are_labelled
def source_label(kind: str, entry: object) -> Label:
    if kind == "mail":
        return Label(entry["from"] == OWNER, frozenset([OWNER, entry["from"], *entry["to"]]))
    if kind == "contact":
        return Label(True, frozenset([OWNER, entry]))
    return Label(kind == "constant", None)


def join(labels: list[Label]) -> Label:
    sets = [label.readers for label in labels if label.readers is not None]
    return Label(all(label.trusted for label in labels), frozenset.intersection(*sets) if sets else None)


def allowed(tool: str, arguments: list[Tagged], condition: Label) -> bool:
    labels = [argument.label for argument in arguments]
    readers = join([*labels, condition]).readers
    if tool == "fetch":
        return readers is None
    if tool not in ("send", "pay"):
        raise ValueError(f"{tool} is no call")
    trusted = join([*(labels if tool == "pay" else labels[:1]), condition]).trusted
    return trusted and (readers is None or arguments[0].value in readers)


def run_plan(plan: list[Step], world: dict, ask, check=allowed) -> list[tuple]:
    results, calls = {}, []
    for name, tool, written, when in plan:
        arguments = [results[a[1:]] if isinstance(a, str) and a.startswith("$") else Tagged(a, source_label("constant", a)) for a in written]
        values = [argument.value for argument in arguments]
        condition = results[when].label if when else join([])
        labels = [condition, *(argument.label for argument in arguments)]
        happens = when is None or results[when].value == "yes"
        if tool in ("send", "pay", "fetch") and happens:
            happens = check(tool, arguments, condition)
            if happens:
                calls.append((tool, *values))
        result = None
        if tool in ("mail", "contact"):
            entry = world[tool][values[0]]
            labels.append(source_label(tool, entry))
            result = entry["body"] if tool == "mail" else entry
        elif tool == "fetch":
            result = world["page"].get(values[0])
            labels.append(source_label("page", result))
        elif tool == "ask" and happens:
            result = ask(*values)
        results[name] = Tagged(result if happens else None, join(labels))
    return calls
