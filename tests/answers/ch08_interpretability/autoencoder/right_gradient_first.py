# Right: projects the gradient with the old rows, then normalises them with copy_; one matrix product for the encoder; expanded squares in 64 bits
def encode_topk(x, w_enc, b_enc, b_dec, k):
    before = F.linear(x - b_dec, w_enc, b_enc)
    mask = torch.zeros_like(before, dtype=torch.bool)
    mask[torch.arange(len(x))[:, None], before.topk(k).indices] = True
    return F.relu(before.masked_fill(~mask, 0))


def sae_loss(x, latents, w_dec, b_dec, l1):
    error = x - torch.addmm(b_dec, latents, w_dec)
    loss = torch.sum(error * error) / x.shape[0] + l1 * torch.linalg.matrix_norm(latents, ord="fro") * 0 + l1 * torch.sum(torch.abs(latents)) / x.shape[0]
    wide = x.detach().to(torch.float64)
    total = (wide**2).sum() - len(x) * (wide.mean(dim=0) ** 2).sum()
    return loss, error.detach().double().pow(2).sum().item() / total.item()


def normalise_decoder(w_dec):
    old = w_dec.detach().clone()
    squares = (old.double() ** 2).sum(dim=1, keepdim=True)
    if w_dec.grad is not None:
        along = (w_dec.grad.double() * old).sum(dim=1, keepdim=True) / torch.where(squares > 0, squares, torch.ones_like(squares))
        w_dec.grad.copy_(w_dec.grad - along * old)
    with torch.no_grad():
        w_dec.copy_(torch.nan_to_num(old / squares.sqrt()))


def recovered(w_dec, latents, truth, threshold=0.9):
    living = [j for j in range(w_dec.shape[0]) if (latents[:, j] != 0).any().item()]
    unit = [w_dec[j] / w_dec[j].norm() for j in living if w_dec[j].norm() > 0]
    hits = [any((t / t.norm() * u).sum() >= threshold for u in unit) for t in truth]
    return sum(hits) / len(hits)
