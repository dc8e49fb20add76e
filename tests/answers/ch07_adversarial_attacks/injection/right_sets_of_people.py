# Right: readers by one test for each person; steps by one function for each tool
def source_label(kind: str, entry: object) -> Label:
    if kind == "mail":
        return Label(entry["from"] == OWNER, frozenset([OWNER, entry["from"], *entry["to"]]))
    if kind == "contact":
        return Label(True, frozenset([OWNER, entry]))
    return Label(kind == "constant", None)


def join(labels):
    trusted, readers = True, None
    for label in labels:
        trusted = trusted and label.trusted
        if label.readers is not None:
            readers = label.readers if readers is None else readers & label.readers
    return Label(trusted, readers)


def allowed(tool, arguments, condition):
    def knows(person, label):
        return label.readers is None or person in label.readers

    if tool == "fetch":
        [url] = arguments
        return url.label.readers is None and condition.readers is None
    if tool == "send":
        to, body = arguments
        return to.label.trusted and condition.trusted and all(knows(to.value, label) for label in (to.label, body.label, condition))
    if tool == "pay":
        to, amount = arguments
        return to.label.trusted and amount.label.trusted and condition.trusted and all(knows(to.value, label) for label in (to.label, amount.label, condition))
    raise ValueError(tool)


def run_plan(plan, world, ask, check=allowed):
    results, calls = {}, []

    def look_up(written):
        if isinstance(written, str) and written[:1] == "$":
            return results[written[1:]]
        return Tagged(written, source_label("constant", written))

    for step in plan:
        arguments = list(map(look_up, step.arguments))
        condition = look_up("$" + step.when) if step.when else Tagged("yes", Label(True, None))
        label = join([a.label for a in arguments] + [condition.label])
        if step.tool in world:
            pass
        value = None
        go = condition.value == "yes"
        if step.tool == "mail":
            mail = world["mail"][arguments[0].value]
            label = join([label, source_label("mail", mail)])
            value = mail["body"]
        elif step.tool == "contact":
            value = world["contact"][arguments[0].value]
            label = join([label, source_label("contact", value)])
        elif step.tool == "ask":
            value = ask(*[a.value for a in arguments]) if go else None
        else:
            if step.tool == "fetch":
                value = world["page"].get(arguments[0].value, "")
                label = join([label, source_label("page", value)])
            go = go and check(step.tool, arguments, condition.label)
            if go:
                calls.append((step.tool, *[a.value for a in arguments]))
        results[step.name] = Tagged(value if go else None, label)
    return calls
