# Right: rules as tables; a match statement for the sources
def source_label(kind, entry):
    match kind:
        case "constant":
            return Label(trusted=True, readers=None)
        case "page":
            return Label(trusted=False, readers=None)
        case "contact":
            return Label(trusted=True, readers=frozenset({OWNER, entry}))
    people = {OWNER, entry["from"]}
    people.update(entry["to"])
    return Label(trusted=entry["from"] == OWNER, readers=frozenset(people))


def join(labels: list[Label]) -> Label:
    sets = [label.readers for label in labels if label.readers is not None]
    return Label(all(label.trusted for label in labels), frozenset.intersection(*sets) if sets else None)


def allowed(tool, arguments, condition):
    has_to_be_trusted = {"send": [0], "pay": [0, 1], "fetch": []}
    if tool not in has_to_be_trusted:
        raise ValueError(f"no rule for {tool}")
    for i in has_to_be_trusted[tool]:
        if not arguments[i].label.trusted:
            return False
    if has_to_be_trusted[tool] and not condition.trusted:
        return False
    for label in [argument.label for argument in arguments] + [condition]:
        if label.readers is not None and (tool == "fetch" or arguments[0].value not in label.readers):
            return False
    return True


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
            result = world["page"].get(values[0], "")
            labels.append(source_label("page", result))
        elif tool == "ask" and happens:
            result = ask(*values)
        results[name] = Tagged(result if happens else None, join(labels))
    return calls
