# Right: what is kept lies in the groups, by position; state_dict saves it, too
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            kept = group.setdefault("kept", {})
            for i, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                t, m, v = kept.get(i, (0, torch.zeros_like(p), torch.zeros_like(p)))
                t = t + 1
                m = m + (1 - group["betas"][0]) * (p.grad - m)
                v = v + (1 - group["betas"][1]) * (p.grad * p.grad - v)
                kept[i] = t, m, v
                m_hat, v_hat = m / (1 - group["betas"][0] ** t), v / (1 - group["betas"][1] ** t)
                p -= group["lr"] * group["weight_decay"] * p
                p -= group["lr"] * m_hat / (v_hat**0.5 + group["eps"])


def decay_groups(model, weight_decay):
    spared = [p for m in model.modules() if isinstance(m, NORM_LAYERS) for p in m.parameters(recurse=False)]
    spared += [p for name, p in model.named_parameters(remove_duplicate=False) if "bias" in name.split(".")[-1]]
    spared = dict.fromkeys(spared)
    rest = [p for p in model.parameters() if p not in spared and p.requires_grad]
    return [{"params": rest, "weight_decay": weight_decay}, {"params": [p for p in model.parameters() if p in spared and p.requires_grad], "weight_decay": 0.0}]
