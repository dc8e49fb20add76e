# Right: keeps all values and looks for the last improvement anew each time
class EarlyStopping:
    def __init__(self, patience=5, min_delta=0.0, mode="min"):
        if mode == "min":
            self.sign = 1.0
        elif mode == "max":
            self.sign = -1.0
        else:
            raise ValueError(mode)
        self.patience, self.min_delta = patience, min_delta
        self.values = []
        self.best_weights = None

    def improvements(self):
        found = []
        for epoch, value in enumerate(self.values):
            if value == value and (not found or self.sign * (self.values[found[-1]] - value) > self.min_delta):
                found.append(epoch)
        return found

    @property
    def best_epoch(self):
        found = self.improvements()
        return found[-1] if found else None

    @property
    def best_value(self):
        return None if self.best_epoch is None else self.values[self.best_epoch]

    def update(self, value, weights):
        self.values.append(value)
        last = len(self.values) - 1
        if self.best_epoch == last:
            self.best_weights = copy.deepcopy(weights)
        since = last - (-1 if self.best_epoch is None else self.best_epoch)
        return since >= max(1, self.patience)


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    history = []
    stop = False
    while not stop and len(history) < max_epochs:
        train_epoch(model.train())
        history += [validate(model.eval())]
        stop = stopper.update(history[-1], copy.deepcopy(model.state_dict()))
    if stopper.best_weights:
        model.load_state_dict(stopper.best_weights)
    return history
