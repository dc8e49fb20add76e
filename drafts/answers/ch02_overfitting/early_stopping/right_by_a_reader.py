# Right: by a reader who saw the release alone
class EarlyStopping:
    """Says after each epoch whether to stop, and keeps the weights of the best epoch."""

    def __init__(self, patience: int = 5, min_delta: float = 0.0, mode: str = "min"):
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
        self.patience = max(patience, 1)
        self.min_delta = min_delta
        self.mode = mode
        self.best_value = None
        self.best_epoch = None
        self.best_weights = None
        self.epoch = 0
        self.waited = 0

    def _improves(self, value):
        if math.isnan(value):
            return False
        if self.best_value is None:
            return True
        gain = self.best_value - value if self.mode == "min" else value - self.best_value
        return gain > self.min_delta

    def update(self, value: float, weights: dict[str, torch.Tensor] | list[np.ndarray]) -> bool:
        if self._improves(value):
            self.best_value = value
            self.best_epoch = self.epoch
            self.best_weights = copy.deepcopy(weights)
            self.waited = 0
        else:
            self.waited += 1
        self.epoch += 1
        return self.waited >= self.patience


def fit_with_early_stopping(model: nn.Module, train_epoch, validate, stopper: EarlyStopping, max_epochs: int) -> list[float]:
    """Trains until the stopper says stop or `max_epochs` are over; then the model gets the best epoch's weights."""
    history = []
    for _ in range(max_epochs):
        model.train()
        train_epoch(model)
        model.eval()
        value = validate(model)
        history.append(value)
        if stopper.update(value, model.state_dict()):
            break
    if stopper.best_weights is not None:
        model.load_state_dict(stopper.best_weights)
    return history
