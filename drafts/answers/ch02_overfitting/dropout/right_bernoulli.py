# Right: a tensor of Bernoulli numbers, p = 1 as a case of its own without gradient; the random numbers of Keras without a seed
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if self.training and self.p == 1:
            return torch.zeros_like(x)
        if self.training:
            keep = 1 - self.p
            return torch.empty_like(x).bernoulli_(keep).div_(keep) * x
        return x


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=False):
        if training and self.rate == 1:
            return keras.ops.zeros_like(inputs)
        if training:
            keep = 1 - self.rate
            mask = keras.random.uniform(keras.ops.shape(inputs)) < keep
            inputs = keras.ops.cast(mask, inputs.dtype) * inputs / keep
        return inputs
