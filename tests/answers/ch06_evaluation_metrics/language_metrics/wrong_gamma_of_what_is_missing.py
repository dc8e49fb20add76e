# Wrong: log-gamma also where fewer than k attempts are wrong
# Fails: agrees_with_subsets
def perplexity(model, ids, lengths, window, stride):
    if not 1 <= stride <= window:
        raise ValueError(f"a stride of {stride} is not from 1 to {window}")
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row, length in zip(ids, lengths, strict=True):
            begin, scored = 0, 0
            while scored < length - 1:
                end = min(begin + window, length - 1)
                logits = model(row[None, begin:end])[0, scored - begin :]
                total += F.cross_entropy(logits, row[scored + 1 : end + 1], reduction="sum").item()
                count += end - scored
                begin, scored = begin + stride, end
    model.train(was_training)
    if count == 0:
        raise ValueError("no text has a second token")
    return math.exp(total / count)


def bits_per_byte(losses, texts):
    n_bytes = sum(len(text.encode()) for text in texts)
    if n_bytes == 0:
        raise ValueError("there is no text")
    return float(sum(float(loss) for text_losses in losses for loss in text_losses) / math.log(2) / n_bytes)


def pass_at_k(n, c, k):
    if not 1 <= k <= min(n):
        raise ValueError(f"k is {k}, not from 1 to {min(n)}")

    def none_right(n, c):
        from scipy.special import gammaln

        return math.exp(gammaln(n - c + 1) - gammaln(abs(n - c - k) + 1) - gammaln(n + 1) + gammaln(n - k + 1))  # with fewer than k wrong attempts, a factor is 0

    return float(np.mean([1 - none_right(*task) for task in zip(n, c, strict=True)]))


def choose_answer(model, prompt, answers, texts, by):
    lengths = {
        "sum": [1 for _ in answers],
        "token": [len(answer) for answer in answers],
        "byte": [len(text.encode()) for text in texts],
    }
    if by not in lengths:
        raise ValueError(f"by is {by!r}")
    scores = []
    with torch.no_grad():
        for answer, length in zip(answers, lengths[by], strict=True):
            logits = model(torch.tensor([[*prompt, *answer[:-1]]]))[0, len(prompt) - 1 :]
            scores.append(-F.cross_entropy(logits, torch.tensor(answer), reduction="sum").item() / length)
    return scores.index(max(scores))
