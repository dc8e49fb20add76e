# Right: labels are computed from the sources that a value goes back to
def source_label(kind: str, entry: object) -> Label:
    if kind == "mail":
        return Label(entry["from"] == OWNER, frozenset([OWNER, entry["from"], *entry["to"]]))
    if kind == "contact":
        return Label(True, frozenset([OWNER, entry]))
    return Label(kind == "constant", None)


def join(labels):
    limited = [set(label.readers) for label in labels if label.readers is not None]
    if not limited:
        return Label(not [1 for label in labels if not label.trusted], None)
    people = set().union(*limited)
    return Label(min([True, *(label.trusted for label in labels)]), frozenset(p for p in people if sum(p in some for some in limited) == len(limited)))


def allowed(tool: str, arguments: list[Tagged], condition: Label) -> bool:
    labels = [argument.label for argument in arguments]
    readers = join([*labels, condition]).readers
    if tool == "fetch":
        return readers is None
    if tool not in ("send", "pay"):
        raise ValueError(f"{tool} is no call")
    trusted = join([*(labels if tool == "pay" else labels[:1]), condition]).trusted
    return trusted and (readers is None or arguments[0].value in readers)


def run_plan(plan, world, ask, check=allowed):
    parts, values, calls = {}, {}, []  # parts: the labels of all sources of a result
    for name, tool, written, when in plan:
        refers = [isinstance(a, str) and a.startswith("$") for a in written]
        mine = [parts[a[1:]] if r else [source_label("constant", a)] for a, r in zip(written, refers)]
        inputs = [values[a[1:]] if r else a for a, r in zip(written, refers)]
        before = parts[when] if when else []
        parts[name] = sum(mine, []) + before
        if tool in ("mail", "contact"):
            parts[name] = parts[name] + [source_label(tool, world[tool][inputs[0]])]
        if tool == "fetch":
            parts[name] = parts[name] + [source_label("page", "")]
        values[name] = None
        if when and values[when] != "yes":
            continue
        if tool == "ask":
            values[name] = ask(*inputs)
        elif tool == "mail":
            values[name] = world["mail"][inputs[0]]["body"]
        elif tool == "contact":
            values[name] = world["contact"][inputs[0]]
        elif check(tool, [Tagged(v, join(p)) for v, p in zip(inputs, mine)], join(before)):
            calls.append((tool,) + tuple(inputs))
            if tool == "fetch":
                values[name] = world["page"][inputs[0]] if inputs[0] in world["page"] else ""
    return calls
