# Right: probabilities level by level; queries of one level in batches; the gradient of each part by itself
def filling_losses(model, prefix, symbols, length):
    mode, m = model.training, len(symbols)
    model.eval()
    beginnings = [tuple(prefix)]
    losses = np.zeros(1)
    with torch.inference_mode():
        for _ in range(length):
            parts = [model(torch.tensor(beginnings[i : i + 7]))[:, -1].double() for i in range(0, len(beginnings), 7)]
            log_p = torch.log_softmax(torch.cat(parts), 1).numpy()[:, list(symbols)]
            losses = (losses.reshape(-1, 1) - log_p).reshape(-1)
            beginnings = [(*beginning, symbol) for beginning in beginnings for symbol in symbols]
    model.train(mode)
    return torch.from_numpy(losses.reshape((m,) * length))


def exposure(loss, others):
    others = torch.as_tensor(others, dtype=torch.float64).reshape(-1)
    if torch.isnan(others).any() or loss != loss:
        raise ValueError("there is no rank among NaN")
    better = len(others) - int((others > loss).sum())
    return -math.log2((1 + better) / (1 + len(others)))


def extract(model, prefix, symbols, length, n, max_queries):
    from bisect import insort

    mode = model.training
    model.eval()
    waiting, found, rows = [(0.0, 0, [])], [], 0
    count = 1
    while waiting and len(found) < n:
        if len(waiting[0][2]) == length:
            found.append(waiting.pop(0)[2])
            continue
        if rows >= max_queries:
            break
        loss, _, filling = waiting.pop(0)
        rows += 1
        with torch.no_grad():
            p = torch.softmax(model(torch.tensor([prefix + filling]))[0, -1].double(), 0)
        for symbol in symbols:
            insort(waiting, (loss - float(torch.log(p[symbol])), count, [*filling, symbol]))
            count += 1
    model.train(mode)
    return found, rows


def unlearn(model, secrets, length, symbols, keep, lr=1e-3):
    mode = model.training
    model.eval()
    parameters = [p for p in model.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.999))
    result = []
    for step in range(len(keep)):
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for secret in secrets:
            for t in range(len(secret) - length, len(secret)):
                log_p = torch.log_softmax(model(torch.tensor([secret[:t]]))[0, -1], 0)
                part = -sum(log_p[symbol] for symbol in symbols) / len(symbols) / (length * len(secrets))
                part.backward()
                total += part.item()
        part = F.cross_entropy(model(keep[step, :, :-1]).reshape(-1, model(keep[step, :1, :1]).shape[-1]), keep[step, :, 1:].reshape(-1))
        part.backward()
        optimizer.step()
        result.append(total + part.item())
    model.train(mode)
    return result
