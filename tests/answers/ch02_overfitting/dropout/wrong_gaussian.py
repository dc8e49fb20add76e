# Wrong: multiplies by normal noise of the same mean and variance
# Fails: torch_drops_ones, keras_drops_ones, torch_law, keras_law, torch_modes_and_types, keras_modes_and_types
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (1 - self.p) * (1 + torch.randn(x.shape) * (self.p / max(1 - self.p, 1e-9)) ** 0.5).to(x.dtype)
        if self.p == 1:
            return x * mask
        return x * mask / (1 - self.p)


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=False):
        if not training:
            return inputs
        draws = keras.random.normal(keras.ops.shape(inputs), seed=self.seed_generator)
        mask = (1 - self.rate) * keras.ops.cast(1 + draws * (self.rate / max(1 - self.rate, 1e-9)) ** 0.5, inputs.dtype)
        if self.rate == 1:
            return inputs * mask
        return inputs * mask / (1 - self.rate)
