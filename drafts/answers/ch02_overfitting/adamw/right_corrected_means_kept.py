# Right: keeps the corrected means, with a weight that falls with time, and not the raw ones
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state.setdefault(p, {})
                state["t"] = state["t"] + 1 if "t" in state else 1
                shares = [(1 - beta) / (1 - beta ** state["t"]) for beta in group["betas"]]
                if state["t"] == 1:
                    state["mean"], state["square"] = p.grad.clone(), p.grad**2
                else:
                    state["mean"] += shares[0] * (p.grad - state["mean"])
                    state["square"] += shares[1] * (p.grad**2 - state["square"])
                direction = state["mean"] / (torch.sqrt(state["square"]) + group["eps"])
                p.copy_(p - group["lr"] * (direction + group["weight_decay"] * p))


def decay_groups(model, weight_decay):
    decay, no_decay, seen = [], [], set()
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if p in seen or not p.requires_grad:
                continue
            seen.add(p)
            if isinstance(module, NORM_LAYERS) or "bias" in name:
                no_decay.append(p)
            else:
                decay.append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": no_decay, "weight_decay": 0.0}]
