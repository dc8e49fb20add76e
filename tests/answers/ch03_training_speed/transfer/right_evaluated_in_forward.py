# Right: forward puts everything into evaluation mode first; features by a loader; the head's gradients set to None by the module
class Still(nn.Sequential):
    def train(self, mode=True):
        self.training = False
        for module in self.children():
            module.eval()
        return self

    def forward(self, x):
        self.train(False)
        return super().forward(x)


def freeze(body):
    return Still(body).requires_grad_(False).train()


def features(body, images, batch_size):
    from torch.utils.data import DataLoader, TensorDataset

    training = [module for module in body.modules() if module.training]
    try:
        body.eval()
        with torch.no_grad():
            return torch.cat([body(x) for (x,) in DataLoader(TensorDataset(images), batch_size)])
    finally:
        for module in training:
            module.training = True


def fit_head(body, head, images, labels, steps, lr):
    known = features(body, images, 1)
    head.zero_grad()
    optimizer = torch.optim.AdamW([{"params": list(head.parameters())}], lr=lr)
    losses = []
    head.train()
    while len(losses) < steps:
        loss = nn.CrossEntropyLoss()(head(known), labels)
        losses.append(loss.detach().item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
    head.eval()
    return losses
