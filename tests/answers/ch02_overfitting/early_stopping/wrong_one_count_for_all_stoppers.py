# Wrong: the count of bad epochs belongs to the class and goes on in the next stopper
# Fails: nan_is_no_improvement
class EarlyStopping:
    bad_epochs = 0

    def __init__(self, patience: int = 5, min_delta: float = 0.0, mode: str = "min"):
        if mode not in ("min", "max"):
            raise ValueError("mode must be min or max")
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best_value = None
        self.best_epoch = None
        self.best_weights = None
        self.epoch = -1

    def update(self, value, weights):
        self.epoch += 1
        if self.is_better(value):
            self.best_value = value
            self.best_epoch = self.epoch
            self.best_weights = copy.deepcopy(weights)
            EarlyStopping.bad_epochs = 0
            return False
        EarlyStopping.bad_epochs += 1
        return self.bad_epochs >= max(self.patience, 1)

    def is_better(self, value):
        if math.isnan(value):
            return False
        if self.best_value is None:
            return True
        if self.mode == "min":
            return value < self.best_value - self.min_delta
        return value > self.best_value + self.min_delta


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    values = []
    for epoch in range(max_epochs):
        model.train()
        train_loss = train_epoch(model)
        model.eval()
        value = validate(model)
        values.append(value)
        if stopper.update(value, model.state_dict()):
            break
    if stopper.best_weights is not None:
        model.load_state_dict(stopper.best_weights)
    return values
