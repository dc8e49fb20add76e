# Wrong: bits_per_byte adds up in the type of the losses, which overflows in 16 bits
# Fails: bits_of_any_text
def perplexity(model: torch.nn.Module, ids: torch.Tensor, lengths: list[int], window: int, stride: int) -> float:
    if not 1 <= stride <= window:
        raise ValueError("stride has to be from 1 to window")
    modes = [(module, module.training) for module in model.modules()]
    total, count = 0.0, 0
    model.eval()
    try:
        with torch.no_grad():
            for row, length in zip(ids, lengths):
                text = row[: int(length)]
                begin, scored = 0, 0  # tokens up to index `scored` are done
                while scored < len(text) - 1:
                    end = min(begin + window, len(text) - 1)
                    logits = model(text[None, begin:end])[0]
                    target = text[begin + 1 : end + 1]
                    new = scored - begin
                    total += F.cross_entropy(logits[new:].double(), target[new:], reduction="sum").item()
                    count += end - scored
                    scored = end
                    begin += stride
    finally:
        for module, mode in modes:
            module.training = mode
    if count == 0:
        raise ValueError("no token is scored")
    return math.exp(total / count)


def bits_per_byte(losses: list, texts: list[str]) -> float:
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    if n_bytes == 0:
        raise ValueError("not a single byte")
    nats = float(sum(float(part.sum()) if hasattr(part, "sum") else sum(part) for part in losses))
    return nats / math.log(2) / n_bytes


def pass_at_k(n: list[int], c: list[int], k: int) -> float:
    if k < 1 or any(k > tried for tried in n):
        raise ValueError("k is out of range")
    values = []
    for tried, right in zip(n, c):
        if k > tried - right:
            values.append(1.0)
        else:
            i = np.arange(int(tried) - int(right) + 1, int(tried) + 1, dtype=float)
            values.append(1 - float(np.prod(1 - k / i)))
    return float(np.mean(values))


def choose_answer(model: torch.nn.Module, prompt: list[int], answers: list[list[int]], texts: list[str], by: str) -> int:
    if by not in ("sum", "token", "byte"):
        raise ValueError("by is none of sum, token, byte")
    best, best_value = 0, -math.inf
    for index, (answer, text) in enumerate(zip(answers, texts)):
        ids = torch.tensor([list(prompt) + list(answer)])
        with torch.no_grad():
            logits = model(ids[:, :-1])[0, len(prompt) - 1 :].double()
        value = -F.cross_entropy(logits, ids[0, len(prompt) :], reduction="sum").item()
        if by == "token":
            value /= len(answer)
        elif by == "byte":
            value /= len(text.encode("utf-8"))
        if value > best_value:
            best, best_value = index, value
    return best
