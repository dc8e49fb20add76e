# Right: by a reader who saw the release alone
class TorchDropout(nn.Module):
    """Inverted dropout for PyTorch."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drops elements of x in training mode; in evaluation mode, the result is equal to x bit by bit."""
        if not self.training:
            return x
        keep = torch.rand(x.shape, device=x.device) >= self.p
        factor = 1 / (1 - self.p) if self.p < 1 else 0.0
        return x * keep * factor


class KerasDropout(keras.layers.Layer):
    """Inverted dropout for Keras."""

    def __init__(self, rate: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training: bool = False):
        """Drops elements of the inputs if training is true; otherwise the result is equal to them bit by bit."""
        if not training:
            return inputs
        uniform = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator)
        keep = keras.ops.cast(uniform >= self.rate, inputs.dtype)
        factor = 1 / (1 - self.rate) if self.rate < 1 else 0.0
        return inputs * keep * factor
