# Wrong: marks parameters with an attribute that stays
# Fails: each_trainable_parameter_once
class DecoupledAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as in
    torch.optim.AdamW.

    Args:
        params: parameters, or dicts as described above; what a dict does not set is taken from the
            other arguments.
        lr: the learning rate.
        betas: of the running means of the gradient and of its square.
        eps: added to the square root of the corrected mean of squares.
        weight_decay: lambda in the formula above.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        """Moves each parameter p one step along p.grad, by the formula of AdamW above, with both
        bias corrections.

        Each group has its own settings. lr and weight_decay may change from step to step: a
        schedule writes to group["lr"]. A parameter whose gradient is None is skipped altogether: neither the parameter
        nor anything kept for it changes, and t counts only the steps that the parameter itself has
        taken. A gradient of zeros is a gradient.

        Parameters are dense, of float32 or float64 and of any shape. They are changed in place
        (what shares their memory sees it) and computed in their own type; gradients are not
        modified. All that is
        needed to continue after state_dict and load_state_dict is kept in self.state or
        self.param_groups.
        """
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["t"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["t"] += 1
                state["m"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
                state["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                m_hat = state["m"] / (1 - beta1 ** state["t"])
                v_hat = state["v"] / (1 - beta2 ** state["t"])
                p.sub_(group["lr"] * (m_hat / (v_hat.sqrt() + group["eps"]) + group["weight_decay"] * p))


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Sorts the model's parameters into two groups for an optimizer: with weight decay, and
    without.

    Not decayed are: the parameters that a normalisation layer itself owns (an instance of one of
    NORM_LAYERS or of a class derived from it), whatever their names and shapes, and all parameters
    with "bias" in their own name, the part after the last dot: bias, in_proj_bias, bias_hh_l0. All
    others are decayed, whatever their shapes, also those of other modules inside such a layer.

    Each parameter is listed once, also if it is tied (used in several places, which agree on
    whether it decays). Frozen ones (requires_grad is False) are left out. The model is not
    modified.

    Returns:
        [{"params": [...], "weight_decay": weight_decay}, {"params": [...], "weight_decay": 0.0}],
        always both, each list of parameters in the order of model.parameters(); it may be empty.

    >>> [len(group["params"]) for group in decay_groups(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), 0.1)]
    [1, 3]
    """
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if isinstance(module, NORM_LAYERS) or "bias" in name:
                p.no_decay = True
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if not getattr(p, "no_decay", False)], "weight_decay": weight_decay},
        {"params": [p for p in trained if getattr(p, "no_decay", False)], "weight_decay": 0.0},
    ]
