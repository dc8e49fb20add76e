# Right: masked_fill in PyTorch; booleans multiplied as they are; a random number of integers in Keras
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if self.training and self.p > 0:
            dropped = torch.randint(0, 2**30, x.shape) < self.p * 2**30
            x = x.masked_fill(dropped, 0)
            if self.p < 1:
                x = x / (1 - self.p)
        return x


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=False):
        if training and self.rate > 0:
            numbers = keras.random.randint(keras.ops.shape(inputs), 0, 2**30, seed=self.seed_generator)
            kept = keras.ops.cast(numbers >= int(self.rate * 2**30), self.compute_dtype)
            inputs = inputs * kept
            if self.rate < 1:
                inputs = inputs / (1 - self.rate)
        return inputs
