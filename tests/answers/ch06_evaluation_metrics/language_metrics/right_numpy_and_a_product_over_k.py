# Right: losses in NumPy with logsumexp; a product of k factors; best of k as in section 5.7
def perplexity(model, ids, lengths, window, stride):
    if stride not in range(1, window + 1):
        raise ValueError
    was = model.training
    model.eval()
    try:
        losses = []
        for i, length in enumerate(lengths):
            have = 1  # the tokens below this one are given or scored
            for begin in range(0, max(length - 1, 0), stride):
                stop = min(begin + window, length - 1)
                if stop < have:
                    break
                with torch.no_grad():
                    logits = model(ids[i : i + 1, begin:stop]).numpy()[0].astype(np.float64)
                log_sums = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
                for token in range(have, stop + 1):
                    losses.append(log_sums[token - 1 - begin] - logits[token - 1 - begin, int(ids[i, token])])
                have = stop + 1
        if not losses:
            raise ValueError
        return float(np.exp(np.mean(losses)))
    finally:
        model.train(was)


def bits_per_byte(losses, texts):
    nats = n_bytes = 0
    for part, text in zip(losses, texts, strict=True):
        nats += sum(float(loss) for loss in part)
        n_bytes += sum(1 if ord(sign) < 128 else 2 if ord(sign) < 2048 else 3 if ord(sign) < 65536 else 4 for sign in text)
    if n_bytes == 0:
        raise ValueError
    return nats * math.log2(math.e) / n_bytes


def pass_at_k(n, c, k):
    if k < 1 or k > min(n):
        raise ValueError
    values = []
    for attempts, good in zip(n, c, strict=True):
        i = np.arange(k)
        values.append(1 - np.prod(np.maximum(attempts - good - i, 0) / (attempts - i)))
    return sum(values) / len(values)


def choose_answer(model, prompt, answers, texts, by):
    per = {"sum": lambda answer, text: 1, "token": lambda answer, text: len(answer), "byte": lambda answer, text: len(text.encode())}.get(by)
    if per is None:
        raise ValueError

    def score(i):
        whole = torch.tensor(list(prompt) + list(answers[i]))
        with torch.no_grad():
            logs = model(whole[None])[0].log_softmax(-1)
        places = range(len(prompt), len(whole))
        return sum(logs[t - 1, whole[t]].item() for t in places) / per(answers[i], texts[i])

    return max(range(len(answers)), key=score)
