# Wrong: calls the function that torch's optimizer is made of
# Fails: follows_torch_for_many_steps, decay_is_decoupled, groups_are_independent, skips_without_gradient, continues_from_a_state_dict, only_parameters_change
class DecoupledAdam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        from torch.optim.adamw import adamw

        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(step=torch.tensor(0.0), m=torch.zeros_like(p), v=torch.zeros_like(p))
                adamw([p], [p.grad], [state["m"]], [state["v"]], [], [state["step"]], amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"], maximize=False)


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
