# Right: one call of the model for each token; exact whole numbers; a loop over the answer's tokens
from fractions import Fraction


def perplexity(model, ids, lengths, window, stride):
    if stride < 1 or stride > window:
        raise ValueError("stride")
    mode = model.training
    model.train(False)
    losses = []
    for text in [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]:
        for t in range(1, len(text)):
            begin = max(0, math.ceil((t - window) / stride)) * stride
            with torch.inference_mode():
                losses.append(-model(torch.tensor([text[begin:t]]))[0, -1].log_softmax(-1)[text[t]].item())
    model.train(mode)
    if not losses:
        raise ValueError("nothing to score")
    return math.exp(math.fsum(losses) / len(losses))


def bits_per_byte(losses, texts):
    size = len(bytes("".join(texts), "utf-8"))
    if not size:
        raise ValueError
    return sum(np.log2(np.exp(np.asarray(part, dtype=float))).sum() for part in losses) / size


def pass_at_k(n, c, k):
    if k < 1 or any(k > attempts for attempts in n):
        raise ValueError
    none = [math.comb(attempts - good, k) / math.comb(attempts, k) for attempts, good in zip(n, c, strict=True)]
    return 1 - math.fsum(none) / len(none)


def choose_answer(model, prompt, answers, texts, by):
    if by not in ("sum", "token", "byte"):
        raise ValueError
    best, highest = None, -math.inf
    for i, (answer, text) in enumerate(zip(answers, texts, strict=True)):
        read, score = list(prompt), 0.0
        for token in answer:
            with torch.no_grad():
                score += torch.log_softmax(model(torch.tensor([read]))[0, -1].double(), -1)[token].item()
            read.append(token)
        score /= {"sum": 1, "token": len(answer), "byte": len(text.encode("utf-8"))}[by]
        if score > highest:
            best, highest = i, score
    return best
