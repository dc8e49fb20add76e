# Wrong: calls validate under torch.no_grad()
# Fails: monitors_validation
class EarlyStopping:
    """Says after each epoch whether to stop, and keeps the weights of the best epoch.

    An epoch is an improvement if its value is a number (NaN is none) and, where there was an
    improvement before, is better than `best_value` by more than `min_delta`. Training stops as
    soon as `patience` epochs in a row were no improvements. (Values that are better by nearly
    min_delta, so that rounding decides, do not occur.)

    Args:
        patience: 0 or more; 0 means the same as 1.
        min_delta: 0 or more.
        mode: "min" if smaller values are better, "max" if larger ones are.

    Attributes:
        best_value, best_epoch, best_weights: of the last improvement, whose epoch counts from 0;
            all None as long as there was none.

    Raises:
        ValueError: when it is made, if the mode is neither of the two.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, mode: str = "min"):
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best_value = self.best_epoch = self.best_weights = None
        self.epoch, self.bad = -1, 0

    def update(self, value: float, weights: dict[str, torch.Tensor] | list[np.ndarray]) -> bool:
        """To be called once after each epoch.

        Args:
            value: what is monitored, after this epoch; a finite float or NaN.
            weights: those that gave this value, as a dict of tensors of any type or a list of
                arrays. They are not modified here. They may change in place later, and
                `best_weights` must not change with them.

        Returns:
            True if training is to stop now, otherwise False.
        """
        self.epoch += 1
        if math.isnan(value):
            better = False
        elif self.best_value is None:
            better = True
        else:
            gain = self.best_value - value if self.mode == "min" else value - self.best_value
            better = gain > self.min_delta
        if better:
            self.best_value, self.best_epoch, self.bad = value, self.epoch, 0
            if isinstance(weights, dict):
                self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
            else:
                self.best_weights = [np.array(array) for array in weights]
        else:
            self.bad += 1
        return self.bad >= max(self.patience, 1)


def fit_with_early_stopping(
    model: nn.Module, train_epoch, validate, stopper: EarlyStopping, max_epochs: int
) -> list[float]:
    """Trains until the stopper says stop or `max_epochs` are over; then the model gets the best
    epoch's weights.

    Each epoch calls `train_epoch(model)` once with the model in training mode, then
    `validate(model)` once with the model in evaluation mode, then the stopper's `update` once with
    the value from `validate` and the model's `state_dict()`. If one of them raises an exception,
    that passes through; in which state the model is then is left open.

    Args:
        model: all of its state is restored, buffers such as those of batch normalisation included.
        train_epoch: trains the model for one epoch, in place, and returns the mean training loss.
        validate: returns the value to monitor; switching gradients off is its own business.
        stopper: a new EarlyStopping, or any other object with its `update` and its `best_weights`
            (which may be None in the end: then the model stays as the last epoch left it).
        max_epochs: 1 or more.

    Returns:
        The values from `validate`, one for each epoch that was run.
    """
    history = []
    for _ in range(max_epochs):
        model.train()
        train_epoch(model)
        model.eval()
        with torch.no_grad():
            value = validate(model)
        history.append(value)
        if stopper.update(value, model.state_dict()):
            break
    if stopper.best_weights is not None:
        model.load_state_dict(stopper.best_weights)
    return history
