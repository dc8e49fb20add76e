# Right: all texts in one batch, window by window, with the targets that do not count set to -100; log-gamma; padded answers
def perplexity(model, ids, lengths, window, stride):
    if not 0 < stride <= window:
        raise ValueError
    mode, size = model.training, torch.as_tensor(lengths)
    model.eval()
    nats, scored = torch.zeros((), dtype=torch.float64), 0
    longest = max(lengths, default=0)
    with torch.no_grad():
        done = 0
        for begin in range(0, longest, stride):
            end = min(begin + window, longest - 1)
            if end <= done:
                break
            places = torch.arange(begin + 1, end + 1)
            targets = ids[:, begin + 1 : end + 1].clone()
            targets[(places >= size[:, None]) | (places <= done)] = -100
            losses = F.cross_entropy(model(ids[:, begin:end]).transpose(1, 2), targets, ignore_index=-100, reduction="none")
            nats += losses.double().sum()
            scored += int((targets != -100).sum())
            done = end
    model.train(mode)
    if scored == 0:
        raise ValueError
    return float((nats / scored).exp())


def bits_per_byte(losses, texts):
    joined = "".join(texts).encode("utf-8")
    if not joined:
        raise ValueError("no bytes")
    return float(np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in losses]).sum() / (len(joined) * np.log(2)))


def pass_at_k(n, c, k):
    from scipy.special import gammaln

    n, c = np.asarray(n, dtype=float), np.asarray(c, dtype=float)
    if k < 1 or (n < k).any():
        raise ValueError
    wrong = np.maximum(n - c, k)
    none = np.exp(gammaln(wrong + 1) - gammaln(wrong - k + 1) - gammaln(n + 1) + gammaln(n - k + 1))
    return float(np.where(n - c < k, 1.0, 1 - none).mean())


def choose_answer(model, prompt, answers, texts, by):
    if by not in {"sum", "token", "byte"}:
        raise ValueError(by)
    longest = max(map(len, answers))
    batch = torch.tensor([list(prompt) + list(answer) + [0] * (longest - len(answer)) for answer in answers])
    counts = torch.arange(longest) < torch.tensor([len(answer) for answer in answers])[:, None]
    with torch.no_grad():
        logs = torch.log_softmax(model(batch[:, :-1])[:, len(prompt) - 1 :], dim=-1)
    picked = logs.gather(2, batch[:, len(prompt) :, None]).squeeze(2)
    totals = (picked * counts).sum(1).numpy().astype(float)
    if by == "token":
        totals /= [len(answer) for answer in answers]
    elif by == "byte":
        totals /= [len(text.encode()) for text in texts]
    return int(np.argmax(totals))
