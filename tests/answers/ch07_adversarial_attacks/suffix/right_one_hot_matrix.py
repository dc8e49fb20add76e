# Right: a one-hot matrix with gradients; candidates read one by one; the score comes with the gradient
def _score_and_gradient(guard, ids):
    E = guard.embedding.weight.detach()
    one_hot = F.one_hot(torch.tensor(ids), E.shape[0]).to(E.dtype).requires_grad_(True)
    score = guard.score_vectors((one_hot @ E).unsqueeze(0))[0]
    return float(score.detach()), torch.autograd.grad(score, one_hot)[0]


def token_gradient(guard, ids):
    return _score_and_gradient(guard, ids)[1]


def survives(tokenizer, prompt, suffix):
    return tokenizer.encode(tokenizer.decode(prompt + suffix)) == prompt + suffix


def suffix_attack(guard, tokenizer, prompt, n_suffix, max_queries, width, generator):
    V, queries, suffix = len(tokenizer), 0, None
    while queries < max_queries:
        if suffix is None:
            suffix = []
            while len(suffix) < n_suffix:
                token = torch.randint(0, V, (), generator=generator).item()
                if survives(tokenizer, prompt, suffix + [token]):
                    suffix.append(token)
        score, gradient = _score_and_gradient(guard, prompt + suffix)
        queries += 1
        if score < 0:
            return suffix, queries
        predicted = []
        for place in range(n_suffix):
            row = gradient[len(prompt) + place].tolist()
            predicted += [(row[v] - row[suffix[place]], place, v) for v in range(V) if v != suffix[place]]
        best, best_score, n_read = None, score, 0
        for _, place, token in sorted(predicted):
            if n_read == width or queries == max_queries:
                break
            candidate = suffix[:place] + [token] + suffix[place + 1 :]
            if not survives(tokenizer, prompt, candidate):
                continue
            with torch.no_grad():
                found = guard(torch.tensor([prompt + candidate])).item()
            n_read += 1
            queries += 1
            if found < 0:
                return candidate, queries
            if found < best_score:
                best, best_score = candidate, found
        suffix = best
    return None, queries


def success_rate(guard, tokenizer, prompts, attacks):
    held_back = successes = 0
    for prompt, attack in zip(prompts, attacks):
        if guard(torch.tensor([tokenizer.encode(prompt)])).item() <= 0:
            continue
        held_back += 1
        if attack is None:
            continue
        text = tokenizer.decode(attack)
        if text[: len(prompt)] == prompt and guard(torch.tensor([tokenizer.encode(text)])).item() < 0:
            successes += 1
    return successes / held_back if held_back else float("nan")
