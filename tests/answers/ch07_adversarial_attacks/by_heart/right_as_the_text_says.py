# Right: as the section describes it, with short functions of its own
def _next(model, rows, symbols):
    mode = model.training
    model.eval()
    with torch.no_grad():
        log_p = model(torch.as_tensor(rows))[:, -1, :].log_softmax(dim=-1)
    model.train(mode)
    return log_p[:, torch.tensor(symbols)]


def filling_losses(model, prefix, symbols, length):
    losses = -_next(model, [prefix], symbols)[0]
    beginnings = [[symbol] for symbol in symbols]
    for _ in range(length - 1):
        losses = losses[..., None] - _next(model, [[*prefix, *beginning] for beginning in beginnings], symbols).view(*losses.shape, len(symbols))
        beginnings = [[*beginning, symbol] for beginning in beginnings for symbol in symbols]
    return losses


def exposure(loss, others):
    losses = [loss, *np.ravel(others)]
    if np.isnan(losses).any():
        raise ValueError("NaN")
    rank = sum(1 for other in losses if other <= loss)
    return math.log2(len(losses)) - math.log2(rank)


def extract(model, prefix, symbols, length, n, max_queries):
    from queue import PriorityQueue

    queue, guesses, queries = PriorityQueue(), [], 0
    queue.put((0.0, []))
    while not queue.empty() and len(guesses) < n:
        loss, filling = queue.get()
        if len(filling) == length:
            guesses.append(filling)
        elif queries < max_queries:
            queries += 1
            for symbol, log_p in zip(symbols, _next(model, [[*prefix, *filling]], symbols)[0], strict=True):
                queue.put((loss - log_p.item(), [*filling, symbol]))
        else:
            break
    return guesses, queries


def unlearn(model, secrets, length, symbols, keep, lr=1e-3):
    mode = model.training
    model.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    uniform = torch.full((length, len(symbols)), 1 / len(symbols))
    losses = []
    for windows in keep:
        optimizer.zero_grad()
        parts = []
        for secret in secrets:
            log_p = model(torch.tensor([secret]))[0, -length - 1 : -1].log_softmax(-1)[:, symbols]
            parts.append(F.kl_div(log_p, uniform.to(log_p), reduction="sum") / length + math.log(len(symbols)))
        loss = torch.stack(parts).mean() + F.nll_loss(model(windows)[:, :-1].log_softmax(-1).flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    model.train(mode)
    return losses
