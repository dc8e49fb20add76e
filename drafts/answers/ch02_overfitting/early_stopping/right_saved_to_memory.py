# Right: the best weights are saved as a file in memory, and read when somebody asks
import io


class EarlyStopping:
    def __init__(self, patience=5, min_delta=0.0, mode="min"):
        if mode not in {"min", "max"}:
            raise ValueError(f"unknown mode {mode}")
        self.left = self.patience = max(patience, 1)
        self.min_delta = min_delta
        self.flip = mode == "max"
        self.best_value = self.best_epoch = self.file = None
        self.next_epoch = 0

    @property
    def best_weights(self):
        if self.file is None:
            return None
        self.file.seek(0)
        return torch.load(self.file, weights_only=False)

    def update(self, value, weights):
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        improved = not np.isnan(value)
        if improved and self.best_epoch is not None:
            a, b = (value, self.best_value) if self.flip else (self.best_value, value)
            improved = a > b + self.min_delta
        if improved:
            self.best_value, self.best_epoch, self.left = value, epoch, self.patience
            self.file = io.BytesIO()
            torch.save(weights, self.file)
        else:
            self.left -= 1
        return self.left == 0


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    history = []
    try:
        for _ in range(max_epochs):
            model.train(True)
            train_epoch(model)
            model.train(False)
            value = validate(model)
            history.append(value)
            if stopper.update(value=value, weights=model.state_dict()):
                return history
        return history
    finally:
        best = stopper.best_weights
        if best is not None:
            model.load_state_dict(best)
