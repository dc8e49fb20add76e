# Right: torch's operations on lists of tensors, a tuple as state; owners looked up by the name of the parameter
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            for p in params:
                if "moments" not in self.state[p]:
                    self.state[p]["moments"] = (torch.zeros_like(p), torch.zeros_like(p))
                    self.state[p]["age"] = 0.0
                self.state[p]["age"] += 1
            means, squares = (list(column) for column in zip(*(self.state[p]["moments"] for p in params)))
            ages = [self.state[p]["age"] for p in params]
            torch._foreach_lerp_(means, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
            roots = torch._foreach_sqrt(squares)
            torch._foreach_div_(roots, [math.sqrt(1 - beta2**age) for age in ages])
            torch._foreach_add_(roots, group["eps"])
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_addcdiv_(params, means, roots, [-group["lr"] / (1 - beta1**age) for age in ages])


def decay_groups(model, weight_decay):
    groups = [{"params": [], "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]
    for name, p in model.named_parameters():
        if p.requires_grad:
            path, _, own_name = name.rpartition(".")
            spared = "bias" in own_name or isinstance(model.get_submodule(path), NORM_LAYERS)
            groups[spared]["params"].append(p)
    return groups
