# Right: an infinite best value in private, and clones by type
class EarlyStopping:
    def __init__(self, patience: int = 5, min_delta: float = 0.0, mode: str = "min"):
        try:
            self._sign = {"min": 1, "max": -1}[mode]
        except KeyError:
            raise ValueError("mode has to be 'min' or 'max'") from None
        self._patience, self._delta = patience, min_delta
        self._lowest = float("inf")
        self._wait, self._epoch = 0, -1
        self.best_epoch = self.best_weights = None

    @property
    def best_value(self):
        return None if self.best_epoch is None else self._sign * self._lowest

    def update(self, value, weights):
        self._epoch += 1
        self._wait += 1
        if self._sign * value < self._lowest - self._delta:
            self._lowest = self._sign * value
            self._wait = 0
            self.best_epoch = self._epoch
            if isinstance(weights, dict):
                self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
            else:
                self.best_weights = tuple(array.copy() for array in weights)
        return bool(self._wait and self._wait >= self._patience)


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    history = []
    for epoch in range(1, max_epochs + 1):
        for module in model.modules():
            module.training = True
        train_epoch(model)
        for module in model.modules():
            module.training = False
        history.append(float(validate(model)))
        stop = stopper.update(history[-1], model.state_dict())
        if stop or epoch == max_epochs:
            if stopper.best_weights is not None:
                model.load_state_dict(stopper.best_weights)
            return history
