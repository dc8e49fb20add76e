# Right: starts drawn as a whole until one survives; NumPy; torch.func for the gradient
def token_gradient(guard, ids):
    E = guard.embedding.weight.detach()
    gradient = torch.func.grad(lambda vectors: guard.score_vectors(vectors[None]).squeeze(0))(E[list(ids)])
    return torch.einsum("td,vd->tv", gradient, E).detach()


def survives(tokenizer, prompt, suffix):
    message = list(prompt) + list(suffix)
    again = tokenizer.encode(tokenizer.decode(message))
    return len(again) == len(message) and all(a == b for a, b in zip(again, message))


def suffix_attack(guard, tokenizer, prompt, n_suffix, max_queries, width, generator):
    spent = 0

    def read(suffixes):
        nonlocal spent
        spent += len(suffixes)
        with torch.no_grad():
            return guard(torch.tensor([prompt + suffix for suffix in suffixes])).numpy()

    while spent < max_queries:
        present = torch.randint(len(tokenizer), (n_suffix,), generator=generator).tolist()
        if not survives(tokenizer, prompt, present):
            continue
        score = read([present])[0]
        if score < 0:
            return present, spent
        while spent < max_queries:
            gradient = token_gradient(guard, prompt + present).numpy()[-n_suffix:]
            spent += 1
            change = gradient - np.take_along_axis(gradient, np.array(present)[:, None], 1)
            change[np.arange(n_suffix), present] = np.inf
            order = np.stack(np.unravel_index(np.argsort(change, axis=None), change.shape), 1)
            candidates = []
            for place, token in order[: change.size - n_suffix].tolist():
                candidate = list(present)
                candidate[place] = token
                if survives(tokenizer, prompt, candidate):
                    candidates.append(candidate)
                if len(candidates) == width:
                    break
            candidates = candidates[: max_queries - spent]
            if not candidates:
                break
            found = read(candidates)
            if found.min() < 0:
                return candidates[found.argmin()], spent
            if found.min() >= score:
                break
            present, score = candidates[found.argmin()], found.min()
    return None, spent


def success_rate(guard, tokenizer, prompts, attacks):
    def passes(text):
        return float(guard(torch.tensor([tokenizer.encode(text)])).detach())

    counted = [(prompt, attack) for prompt, attack in zip(prompts, attacks, strict=True) if passes(prompt) > 0]
    results = []
    for prompt, attack in counted:
        text = None if attack is None else tokenizer.decode(attack)
        results.append(float(text is not None and text.startswith(prompt) and passes(text) < 0))
    return float(np.mean(results)) if results else float("nan")
