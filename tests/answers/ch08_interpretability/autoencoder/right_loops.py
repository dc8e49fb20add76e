# Right: loops over rows, and plain numbers for what needs no gradient
def encode_topk(x, w_enc, b_enc, b_dec, k):
    rows = []
    for row in x:
        before = w_enc @ (row - b_dec) + b_enc
        keep = sorted(range(len(before)), key=lambda j: before[j].item())[-k:]
        mask = torch.zeros(len(before), dtype=x.dtype)
        mask[keep] = 1
        rows.append((before * mask).clamp(min=0))
    return torch.stack(rows) if rows else x.new_zeros(0, len(w_enc))


def sae_loss(x, latents, w_dec, b_dec, l1):
    loss, errors, variation = 0, 0.0, 0.0
    mean = x.sum(dim=0) / len(x)
    for row, z in zip(x, latents):
        error = ((row - (z @ w_dec + b_dec)) ** 2).sum()
        loss = loss + (error + l1 * z.abs().sum()) / len(x)
        errors += error.item()
        variation += ((row - mean) ** 2).sum().item()
    return loss, errors / variation


@torch.no_grad()
def normalise_decoder(w_dec):
    for i in range(len(w_dec)):
        length = w_dec[i].square().sum().sqrt()
        if length > 0:
            w_dec[i] /= length
            if w_dec.grad is not None:
                w_dec.grad[i] -= torch.dot(w_dec.grad[i], w_dec[i]) * w_dec[i]


def recovered(w_dec, latents, truth, threshold=0.9):
    found = 0
    for feature in truth:
        for j, row in enumerate(w_dec):
            if any(latents[:, j] > 0) and feature @ row >= threshold * feature.norm() * row.norm() > 0:
                found += 1
                break
    return found / len(truth)
