# Right: depth first, one row a call; sorted lists; a padded batch and soft targets
def filling_losses(model, prefix, symbols, length):
    mode = model.training
    model.eval()

    def below(filling, loss):
        if len(filling) == length:
            return loss
        with torch.no_grad():
            logits = model(torch.tensor([[*prefix, *filling]]))[0, -1]
        each = torch.logsumexp(logits, 0) - logits
        return torch.stack([below([*filling, symbol], loss + each[symbol]) for symbol in symbols])

    try:
        return below([], torch.tensor(0.0))
    finally:
        model.train(mode)


def exposure(loss, others):
    import bisect

    values = sorted(float(value) for value in torch.as_tensor(others).flatten())
    if any(math.isnan(value) for value in [*values, float(loss)]):
        raise ValueError("NaN")
    return math.log2(len(values) + 1) - math.log2(1 + bisect.bisect_right(values, loss))


def extract(model, prefix, symbols, length, n, max_queries):
    mode = model.training
    model.eval()
    front, found, asked = [(0.0, [])], [], 0
    with torch.no_grad():
        while front and len(found) < n:
            front.sort(key=lambda entry: entry[0])
            loss, filling = front[0]
            if len(filling) == length:
                found.append(filling)
                front.pop(0)
            elif asked < max_queries:
                front.pop(0)
                asked += 1
                log_p = model(torch.tensor([list(prefix) + filling]))[0, -1].log_softmax(0)
                front += [(loss - log_p[s].item(), [*filling, s]) for s in symbols]
            else:
                break
    model.train(mode)
    return found, asked


def unlearn(model, secrets, length, symbols, keep, lr=1e-3):
    mode = model.training
    model.eval()
    model.zero_grad()
    longest = max(len(secret) for secret in secrets)
    rows = torch.tensor([secret + [symbols[0]] * (longest - len(secret)) for secret in secrets])
    places = torch.tensor([[len(secret) - length - 1 + i for i in range(length)] for secret in secrets])
    adam = torch.optim.Adam(list(model.parameters()), lr)
    history = []
    for batch in keep:
        logits = model(rows)
        at_places = torch.cat([logits[i, place] for i, place in enumerate(places)])
        target = torch.zeros_like(at_places)
        target[:, symbols] = 1 / len(symbols)
        loss = F.cross_entropy(at_places, target) + F.cross_entropy(model(batch)[:, :-1].transpose(1, 2), batch[:, 1:])
        loss.backward()
        history.append(float(loss.detach()))
        adam.step()
        model.zero_grad()
    model.train(mode)
    return history
