# Right: NumPy on the memory of the parameter; the count is a tensor of 64 bits; groups are sorted by recursion
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p.detach().numpy(), p.grad.detach().numpy(), self.state[p], group)

    def _move(self, weight, gradient, state, group):
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float64)
            state["moments"] = [torch.from_numpy(np.zeros(weight.shape, weight.dtype)) for _ in range(2)]
        state["step"] += 1
        t = int(state["step"])
        hats = []
        for moment, beta, power in zip(state["moments"], group["betas"], (1, 2)):
            moment = moment.numpy()
            moment[...] = beta * moment + (1 - beta) * gradient**power
            hats.append(moment / (1 - beta**t))
        old = weight.copy()
        weight[...] = old - group["lr"] * (hats[0] / (np.sqrt(hats[1]) + group["eps"]) + group["weight_decay"] * old)


def decay_groups(model, weight_decay):
    groups = [{"params": [], "weight_decay": float(weight_decay), "name": "decay"}, {"params": [], "weight_decay": 0.0, "name": "none"}]
    done = []

    def visit(module):
        for name, p in module.named_parameters(recurse=False):
            if not any(p is other for other in done):
                done.append(p)
                if p.requires_grad:
                    groups[1 if isinstance(module, NORM_LAYERS) or name.count("bias") else 0]["params"].append(p)
        for child in module.children():
            visit(child)

    visit(model)
    return groups
