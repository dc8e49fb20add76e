# Wrong: drops half, whatever p is
# Fails: torch_drops_ones, keras_drops_ones, torch_law, keras_law
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.rand(x.shape, device=x.device) >= 0.5).to(x.dtype)
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
        draws = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator)
        mask = keras.ops.cast(draws >= 0.5, inputs.dtype)
        if self.rate == 1:
            return inputs * mask
        return inputs * mask / (1 - self.rate)
