# Right: values become NumPy numbers, weights are pickled and unpickled
import pickle


class EarlyStopping:
    def __init__(self, patience=5, min_delta=0, mode="min"):
        if mode not in ["min", "max"]:
            raise ValueError("mode: " + mode)
        self.patience = patience
        self.min_delta = min_delta
        self.better = np.less if mode == "min" else np.greater
        self.margin = min_delta if mode == "min" else -min_delta
        self.best_value = None
        self.best_epoch = None
        self.best_weights = None
        self.epoch = 0
        self.in_a_row = 0

    def update(self, value, weights):
        value = np.float64(value)
        if (self.best_value is None and value == value) or (
            self.best_value is not None and self.better(value + self.margin, self.best_value)
        ):
            self.best_value = value
            self.best_epoch = np.int64(self.epoch)
            self.best_weights = pickle.loads(pickle.dumps(weights))
            self.in_a_row = 0
        else:
            self.in_a_row += 1
        self.epoch += 1
        if self.in_a_row == 0:
            return False
        return np.bool_(self.in_a_row >= self.patience)


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    history = np.full(max_epochs, np.nan)
    for epoch in range(max_epochs):
        model.train()
        train_epoch(model)
        model.eval()
        history[epoch] = validate(model)
        if stopper.update(history[epoch], model.state_dict()):
            history = history[: epoch + 1]
            break
    if not stopper.best_weights is None:
        model.load_state_dict(stopper.best_weights, strict=True)
    return history.tolist()
