# Wrong: a nudge of 1e-3 per place breaks ties, and reorders near values
# Fails: encodes_any_shape
def encode_topk(x: torch.Tensor, w_enc: torch.Tensor, b_enc: torch.Tensor, b_dec: torch.Tensor, k: int) -> torch.Tensor:
    before = (x - b_dec) @ w_enc.T + b_enc
    indices = (before - 1e-3 * torch.arange(before.shape[1])).topk(k, dim=1).indices
    return torch.zeros_like(before).scatter(1, indices, before.gather(1, indices).relu())


def sae_loss(x: torch.Tensor, latents: torch.Tensor, w_dec: torch.Tensor, b_dec: torch.Tensor, l1: float) -> tuple[torch.Tensor, float]:
    squares = (x - latents @ w_dec - b_dec).square().sum(dim=1)
    loss = squares.mean() + l1 * latents.abs().sum(dim=1).mean()
    return loss, (squares.sum() / (x - x.mean(dim=0)).square().sum()).item()


def normalise_decoder(w_dec: torch.Tensor) -> None:
    with torch.no_grad():
        length = w_dec.norm(dim=1, keepdim=True)
        w_dec.div_(torch.where(length == 0, 1, length))
        if w_dec.grad is not None:
            w_dec.grad -= (w_dec.grad * w_dec).sum(dim=1, keepdim=True) * w_dec


def recovered(w_dec: torch.Tensor, latents: torch.Tensor, truth: torch.Tensor, threshold: float = 0.9) -> float:
    alive = w_dec[(latents > 0).any(dim=0)]
    if len(alive) == 0:
        return 0.0
    similarities = F.normalize(truth, dim=1) @ F.normalize(alive, dim=1).T
    return (similarities.amax(dim=1) >= threshold).double().mean().item()
