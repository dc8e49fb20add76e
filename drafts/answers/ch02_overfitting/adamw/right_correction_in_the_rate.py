# Right: both corrections are in the learning rate, the epsilon scaled to match; the decay is subtracted together with the step
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in filter(lambda p: p.grad is not None, group["params"]):
                state = self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * p.grad
                v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * p.grad.square()
                root = math.sqrt(1 - beta2**t)
                rate = group["lr"] * root / (1 - beta1**t)
                p.data -= rate * m / (v.sqrt() + group["eps"] * root) + group["lr"] * group["weight_decay"] * p.data


def decay_groups(model, weight_decay):
    spared = {
        id(p)
        for module in model.modules()
        for name, p in module._parameters.items()
        if p is not None and ("bias" in name or isinstance(module, NORM_LAYERS))
    }
    trainable = list(filter(lambda p: p.requires_grad, model.parameters()))
    return [
        dict(params=[p for p in trainable if id(p) not in spared], weight_decay=weight_decay),
        dict(params=[p for p in trainable if id(p) in spared], weight_decay=0),
    ]
