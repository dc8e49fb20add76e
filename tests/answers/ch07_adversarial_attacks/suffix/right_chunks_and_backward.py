# Right: the gradient by backward() with the guard's gradients put back; candidates read in chunks of three
def token_gradient(guard, ids):
    old = [p.grad for p in guard.parameters()]
    vectors = guard.embedding.weight[torch.tensor(ids)].detach().clone()
    vectors.requires_grad = True
    for p in guard.parameters():
        p.grad = None
    guard.score_vectors(vectors.unsqueeze(0)).sum().backward()
    for p, gradient in zip(guard.parameters(), old):
        p.grad = gradient
    return (guard.embedding.weight.detach() @ vectors.grad.T).T


def survives(tokenizer, prompt, suffix):
    message = tuple(prompt) + tuple(suffix)
    return tuple(tokenizer.encode(tokenizer.decode(message))) == message


def suffix_attack(guard, tokenizer, prompt, n_suffix, max_queries, width, generator):
    left = max_queries
    present = score = None
    while left > 0:
        if present is None:
            present = []
            while len(present) < n_suffix:
                token = int(torch.randperm(len(tokenizer), generator=generator)[0])
                if survives(tokenizer, prompt, present + [token]):
                    present = present + [token]
            with torch.no_grad():
                score = guard(torch.tensor([prompt + present])).item()
            left -= 1
            if score < 0:
                return present, max_queries - left
            if left == 0:
                break
        gradient = token_gradient(guard, prompt + present)
        left -= 1
        entries = []
        for i, now in enumerate(present):
            row = gradient[len(prompt) + i]
            entries += [(float(row[v] - row[now]), i, v) for v in range(len(row)) if v != now]
        entries.sort()
        queue = (present[:i] + [v] + present[i + 1 :] for _, i, v in entries)
        good = []
        for candidate in queue:
            if survives(tokenizer, prompt, candidate):
                good.append(candidate)
                if len(good) >= width:
                    break
        lowest = None
        for begin in range(0, len(good), 3):
            chunk = good[begin : begin + 3][:left]
            if not chunk:
                break
            with torch.no_grad():
                found = guard(torch.tensor([prompt + candidate for candidate in chunk])).tolist()
            left -= len(chunk)
            for value, candidate in zip(found, chunk):
                if lowest is None or value < lowest[0]:
                    lowest = value, candidate
            if lowest[0] < 0:
                return lowest[1], max_queries - left
        if lowest is not None and lowest[0] < score:
            score, present = lowest
        else:
            present = None
    return None, max_queries


def success_rate(guard, tokenizer, prompts, attacks):
    rows = []
    with torch.no_grad():
        for prompt, attack in zip(prompts, attacks):
            before = guard(torch.tensor([tokenizer.encode(prompt)]))[0]
            if before > 0:
                rows.append(False)
                if attack is not None:
                    text = tokenizer.decode(attack)
                    rows[-1] = bool(text.startswith(prompt)) and bool(guard(torch.tensor([tokenizer.encode(text)]))[0] < 0)
    return math.nan if not rows else rows.count(True) / len(rows)
