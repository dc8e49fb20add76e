# Right: loops, sorted places, and numpy
def global_mask(weights, share):
    places = [(abs(value), i, j) for i, w in enumerate(weights) for j, value in enumerate(w.detach().reshape(-1).tolist())]
    places.sort()
    masks = [np.ones(w.numel(), dtype=bool) for w in weights]
    for _, i, j in places[: round(share * len(places))]:
        masks[i][j] = False
    return [torch.from_numpy(mask).reshape(w.shape) for mask, w in zip(masks, weights)]


def masked_step(optimizer, weights, masks):
    optimizer.step()
    for w, mask in zip(weights, masks):
        w.detach().numpy()[~mask.numpy()] = 0.0


def shrink_units(first, activation, second):
    w1, w2 = first.weight.detach().numpy(), second.weight.detach().numpy()
    b1 = np.zeros(len(w1), w1.dtype) if first.bias is None else first.bias.detach().numpy()
    b2 = np.zeros(len(w2), w2.dtype) if second.bias is None else second.bias.detach().numpy().copy()
    kept = []
    for j in range(len(w1)):
        if not w2[:, j].any():
            continue
        if w1[j].any():
            kept.append(j)
        else:
            b2 = b2 + w2[:, j] * activation(torch.tensor([b1[j]])).numpy()[0]
    new_first = nn.Linear(w1.shape[1], len(kept), bias=first.bias is not None)
    new_second = nn.Linear(len(kept), w2.shape[0])
    new_first.weight = nn.Parameter(torch.tensor(w1[kept].reshape(len(kept), -1) if kept else np.zeros((0, w1.shape[1]), w1.dtype)))
    if first.bias is not None:
        new_first.bias = nn.Parameter(torch.tensor(b1[kept]))
    new_second.weight = nn.Parameter(torch.tensor(w2[:, kept]))
    new_second.bias = nn.Parameter(torch.tensor(b2))
    return new_first, new_second
