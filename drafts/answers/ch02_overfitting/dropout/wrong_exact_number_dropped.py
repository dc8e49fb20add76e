# Wrong: drops exactly the share p of all elements
# Fails: torch_masks_are_fresh, keras_masks_are_fresh
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.randperm(x.numel()).view(x.shape) >= round(self.p * x.numel())).to(x.dtype)
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
        mask = keras.ops.cast(keras.ops.reshape(keras.ops.argsort(keras.ops.argsort(keras.ops.reshape(draws, (-1,)))), keras.ops.shape(inputs)) >= keras.ops.cast(keras.ops.round(self.rate * keras.ops.cast(keras.ops.size(inputs), 'float32')), 'int32'), inputs.dtype)
        if self.rate == 1:
            return inputs * mask
        return inputs * mask / (1 - self.rate)
