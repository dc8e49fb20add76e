# Wrong: a mask drawn by NumPy, which a compiled call keeps
# Fails: keras_masks_are_fresh
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        mask = (torch.rand(x.shape, device=x.device) >= self.p).to(x.dtype)
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
        draws = np.random.random([n or 250 for n in inputs.shape]).astype('float32')[: len(inputs) if hasattr(inputs, 'numpy') else None]
        mask = keras.ops.cast(draws >= self.rate, inputs.dtype)
        if self.rate == 1:
            return inputs * mask
        return inputs * mask / (1 - self.rate)
