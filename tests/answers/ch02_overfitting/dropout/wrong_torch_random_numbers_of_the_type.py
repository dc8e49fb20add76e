# Wrong: random numbers of the input's type, of which bfloat16 has only 256 below one
# Fails: torch_modes_and_types
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.rand_like(x) >= self.p).to(x.dtype)
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
        mask = keras.ops.cast(draws >= self.rate, inputs.dtype)
        if self.rate == 1:
            return inputs * mask
        return inputs * mask / (1 - self.rate)
