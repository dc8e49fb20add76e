# Wrong: p = 1 divides by zero; the result is repaired, the gradient is not
# Fails: torch_gradient_uses_the_mask, keras_gradient_uses_the_mask
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.rand(x.shape, device=x.device) >= self.p).to(x.dtype)
        return torch.where(mask == 1, x / torch.tensor(1 - self.p).to(x.dtype), 0.0)


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
        return keras.ops.where(mask == 1, inputs / keras.ops.cast(1 - self.rate, inputs.dtype), keras.ops.zeros_like(inputs))
