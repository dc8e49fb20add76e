# Wrong: the target is uniform over the vocabulary
# Fails: unlearns_like_a_loop_by_hand
def filling_losses(model: nn.Module, prefix: list[int], symbols: list[int], length: int) -> torch.Tensor:
    was_training = model.training
    model.eval()
    rows, losses = torch.tensor([prefix]), torch.zeros(1)
    with torch.no_grad():
        for place in range(length):
            chosen = F.log_softmax(model(rows)[:, -1], -1)[:, symbols]
            losses = (losses[:, None] - chosen).flatten()
            if place < length - 1:
                rows = torch.cat([rows.repeat_interleave(len(symbols), 0), torch.tensor(symbols).repeat(len(rows))[:, None]], 1)
    model.train(was_training)
    return losses.reshape([len(symbols)] * length)


def exposure(loss: float, others: torch.Tensor | np.ndarray | list[float]) -> float:
    others = np.asarray(others)
    if np.isnan(others).any() or np.isnan(loss):
        raise ValueError("a loss is NaN")
    rank = 1 + int((others <= loss).sum())
    return math.log2((others.size + 1) / rank)


def extract(model: nn.Module, prefix: list[int], symbols: list[int], length: int, n: int, max_queries: int) -> tuple[list[list[int]], int]:
    import heapq

    was_training = model.training
    model.eval()
    heap, guesses, queries = [(0.0, ())], [], 0
    while heap and len(guesses) < n:
        loss, filling = heapq.heappop(heap)
        if len(filling) == length:
            guesses.append(list(filling))
            continue
        if queries == max_queries:
            break
        queries += 1
        with torch.no_grad():
            chosen = F.log_softmax(model(torch.tensor([[*prefix, *filling]]))[0, -1], -1)[symbols]
        for symbol, log_probability in zip(symbols, chosen.tolist(), strict=True):
            heapq.heappush(heap, (loss - log_probability, (*filling, symbol)))
    model.train(was_training)
    return guesses, queries


def unlearn(model: nn.Module, secrets: list[list[int]], length: int, symbols: list[int], keep: torch.Tensor, lr: float = 1e-3) -> list[float]:
    was_training = model.training
    model.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for windows in keep:
        forget = 0.0
        for secret in secrets:
            logits = model(torch.tensor([secret[:-1]]))[0, -length:]
            forget = forget - F.log_softmax(logits, -1).mean() / len(secrets)
        logits = model(windows[:, :-1])
        loss = forget + F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.train(was_training)
    return losses
