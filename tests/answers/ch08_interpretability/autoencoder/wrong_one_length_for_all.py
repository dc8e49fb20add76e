# Wrong: the matrix is divided by its norm
# Fails: normalises_by_hand, normalises_in_place
def encode_topk(x, w_enc, b_enc, b_dec, k):
    before = (x - b_dec) @ w_enc.T + b_enc
    values, indices = before.topk(k, dim=1)
    return torch.zeros_like(before).scatter(1, indices, values.relu())


def sae_loss(x, latents, w_dec, b_dec, l1):
    squares = (x - latents @ w_dec - b_dec).square().sum(dim=1)
    loss = squares.mean() + l1 * latents.abs().sum(dim=1).mean()
    return loss, (squares.sum() / (x - x.mean(dim=0)).square().sum()).item()


def normalise_decoder(w_dec):
    with torch.no_grad():
        length = w_dec.norm()
        w_dec.div_(torch.where(length == 0, 1, length))
        if w_dec.grad is not None:
            w_dec.grad -= (w_dec.grad * w_dec).sum(dim=1, keepdim=True) * w_dec


def recovered(w_dec, latents, truth, threshold=0.9):
    alive = w_dec[(latents > 0).any(dim=0)]
    if len(alive) == 0:
        return 0.0
    similarities = F.normalize(truth, dim=1) @ F.normalize(alive, dim=1).T
    return (similarities.amax(dim=1) >= threshold).double().mean().item()
