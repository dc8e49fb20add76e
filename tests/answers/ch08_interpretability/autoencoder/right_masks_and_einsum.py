# Right: a mask from a stable sort, einsum, F.mse_loss, data in place, cosine_similarity
def encode_topk(x, w_enc, b_enc, b_dec, k):
    before = torch.einsum("nd,md->nm", x - b_dec, w_enc) + b_enc
    rank = before.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return torch.where((rank < k) & (before > 0), before, torch.zeros((), dtype=before.dtype))


def sae_loss(x, latents, w_dec, b_dec, l1):
    reconstruction = torch.einsum("nm,md->nd", latents, w_dec) + b_dec
    error = F.mse_loss(reconstruction, x, reduction="sum")
    variation = x.var(dim=0, correction=0).sum() * len(x)
    return (error + l1 * latents.norm(p=1)) / len(x), float(error.detach() / variation)


def normalise_decoder(w_dec):
    lengths = torch.linalg.vector_norm(w_dec.data, dim=1, keepdim=True)
    w_dec.data /= lengths + (lengths == 0)
    if w_dec.grad is not None:
        along = torch.einsum("md,md->m", w_dec.grad, w_dec.data)
        w_dec.grad.sub_(along[:, None] * w_dec.data)


def recovered(w_dec, latents, truth, threshold=0.9):
    similarities = F.cosine_similarity(truth[:, None], w_dec[None], dim=2)
    alive = latents.amax(dim=0) > 0 if len(latents) else torch.zeros(len(w_dec), dtype=torch.bool)
    return float(((similarities >= threshold) & alive).any(dim=1).sum() / len(truth))
