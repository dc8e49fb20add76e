# Right: each part of body gets a train() of its own; features by a loader, into one tensor; gradients by torch.autograd.grad
import types
from torch.utils.data import DataLoader, TensorDataset


def freeze(body: nn.Module) -> nn.Module:
    def stay(self, mode=True):
        for part in self.modules():
            part.training = False
        return self

    for part in body.modules():
        part.train = types.MethodType(stay, part)
    for p in body.parameters():
        p.requires_grad = False
    return body.train()


def features(body: nn.Module, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    modes = {part: part.training for part in body.modules()}
    try:
        for part in modes:
            part.training = False
        out = None
        with torch.set_grad_enabled(False):
            at = 0
            for (batch,) in DataLoader(TensorDataset(images), batch_size=batch_size):
                y = body(batch)
                if out is None:
                    out = y.new_empty(len(images), *y.shape[1:])
                out[at : at + len(y)] = y
                at += len(y)
        return out
    finally:
        for part, mode in modes.items():
            part.training = mode


def fit_head(body: nn.Module, head: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int, lr: float) -> list[float]:
    data, losses = features(body, images, len(images)), []
    optimizer = torch.optim.AdamW(list(head.parameters()), lr=lr)
    head.train(True)
    with torch.enable_grad():
        while len(losses) < steps:
            loss = nn.CrossEntropyLoss()(head(data), labels)
            for p, g in zip(head.parameters(), torch.autograd.grad(loss, list(head.parameters()))):
                p.grad = g
            optimizer.step()
            losses.append(float(loss.detach()))
    head.train(False)
    return losses
