# Wrong: the latents are made absolute in place
# Fails: losses_of_any_shape
def encode_topk(x, w_enc, b_enc, b_dec, k):
    before = (x - b_dec) @ w_enc.T + b_enc
    values, indices = before.topk(k, dim=1)
    return torch.zeros_like(before).scatter(1, indices, values.relu())


def sae_loss(x, latents, w_dec, b_dec, l1):
    squares = (x - (latents @ w_dec + b_dec)).square().sum()
    loss = squares / len(x) + l1 * latents.abs().sum(dim=1).mean()
    if not latents.requires_grad:
        latents.abs_()
    with torch.no_grad():
        around = (x - x.mean(dim=0)).square().sum()
        return loss, float(squares / around)


def normalise_decoder(w_dec):
    with torch.no_grad():
        lengths = w_dec.norm(dim=1, keepdim=True)
        w_dec.div_(torch.where(lengths > 0, lengths, 1))
        if w_dec.grad is not None:
            w_dec.grad.sub_((w_dec.grad * w_dec).sum(dim=1, keepdim=True) * w_dec)


def recovered(w_dec, latents, truth, threshold=0.9):
    alive = (latents > 0).any(dim=0)
    rows = w_dec[alive]
    rows = rows[rows.norm(dim=1) > 0]
    if len(rows) == 0:
        return 0.0
    cosines = (truth / truth.norm(dim=1, keepdim=True)) @ (rows / rows.norm(dim=1, keepdim=True)).T
    return float((cosines.amax(dim=1) >= threshold).double().mean())
