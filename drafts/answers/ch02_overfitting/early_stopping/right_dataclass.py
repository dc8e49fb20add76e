# Right: a dataclass with comparison functions, copying into memory of its own
import operator
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    patience: int = 5
    min_delta: float = 0.0
    mode: str = "min"
    best_value: float | None = None
    best_epoch: int | None = None
    best_weights: object = None
    history: tuple = ()

    def __post_init__(self):
        if self.mode != "min" and self.mode != "max":
            raise ValueError
        self.compare = operator.lt if self.mode == "min" else operator.gt
        self.shift = -self.min_delta if self.mode == "min" else self.min_delta

    def update(self, value, weights):
        epoch = len(self.history)
        self.history += (value,)
        first = self.best_epoch is None and not math.isnan(value)
        if first or (self.best_epoch is not None and self.compare(value, self.best_value + self.shift)):
            self.best_value, self.best_epoch = value, epoch
            if self.best_weights is None:
                self.best_weights = copy.deepcopy(weights)
            elif isinstance(weights, dict):
                with torch.no_grad():
                    for name, tensor in weights.items():
                        self.best_weights[name].copy_(tensor)
            else:
                for mine, array in zip(self.best_weights, weights):
                    mine[...] = array
            return False
        row = epoch + 1 if self.best_epoch is None else epoch - self.best_epoch
        return row >= (self.patience or 1)


def fit_with_early_stopping(model, train_epoch, validate, stopper, max_epochs):
    def epochs():
        for _ in range(max_epochs):
            model.train()
            train_epoch(model)
            model.eval()
            value = validate(model)
            yield value
            if stopper.update(value, {name: tensor.clone() for name, tensor in model.state_dict().items()}):
                return

    history = list(epochs())
    if stopper.best_weights is not None:
        state = model.state_dict()
        with torch.no_grad():
            for name in state:
                state[name].copy_(stopper.best_weights[name])
    return history
