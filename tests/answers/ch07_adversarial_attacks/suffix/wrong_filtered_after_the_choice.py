# Wrong: the most promising are chosen first, and those that do not survive dropped
# Fails: each_step_reads_what_the_gradient_promises
def token_gradient(guard: nn.Module, ids: list[int]) -> torch.Tensor:
    weight = guard.embedding.weight.detach()
    vectors = weight[torch.tensor([ids])].requires_grad_()
    (gradient,) = torch.autograd.grad(guard.score_vectors(vectors).sum(), vectors)
    return gradient[0] @ weight.T


def survives(tokenizer, prompt: list[int], suffix: list[int]) -> bool:
    message = [*prompt, *suffix]
    return list(tokenizer.encode(tokenizer.decode(message))) == message


def suffix_attack(guard: nn.Module, tokenizer, prompt: list[int], n_suffix: int, max_queries: int, width: int, generator: torch.Generator) -> tuple[list[int] | None, int]:
    def draw():
        suffix = []
        while len(suffix) < n_suffix:
            token = int(torch.randint(len(tokenizer), (1,), generator=generator))
            if survives(tokenizer, prompt, [*suffix, token]):
                suffix.append(token)
        return suffix

    def read(suffixes):
        with torch.no_grad():
            return guard(torch.tensor([[*prompt, *suffix] for suffix in suffixes]))

    suffix, queries, score = None, 0, None
    while queries < max_queries:
        if suffix is None:
            suffix = draw()
            score = float(read([suffix])[0])
            queries += 1
            if score < 0:
                return suffix, queries
            continue
        gradient = token_gradient(guard, [*prompt, *suffix])[len(prompt) :]
        queries += 1
        change = gradient - gradient.gather(1, torch.tensor(suffix)[:, None])
        candidates = []
        for index in change.flatten().argsort().tolist()[: min(width, max_queries - queries)]:
            place, token = divmod(index, change.shape[1])
            candidate = [*suffix[:place], token, *suffix[place + 1 :]]
            if token != suffix[place] and survives(tokenizer, prompt, candidate):
                candidates.append(candidate)
        if not candidates:
            suffix = None
            continue
        found = read(candidates)
        queries += len(candidates)
        best = int(found.argmin())
        if found[best] < 0:
            return candidates[best], queries
        suffix, score = (candidates[best], float(found[best])) if found[best] < score else (None, None)
    return None, queries


def success_rate(guard: nn.Module, tokenizer, prompts: list[str], attacks: list[list[int] | None]) -> float:
    def score(text):
        with torch.no_grad():
            return float(guard(torch.tensor([tokenizer.encode(text)]))[0])

    passed = []
    for prompt, attack in zip(prompts, attacks, strict=True):
        if score(prompt) > 0:
            text = "" if attack is None else tokenizer.decode(attack)
            passed.append(attack is not None and text.startswith(prompt) and score(text) < 0)
    return sum(passed) / len(passed) if passed else math.nan
