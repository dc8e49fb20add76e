# Right: works on flat tensors of indices; Keras with a generator of TensorFlow
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        flat = x.reshape(-1)
        kept = torch.nonzero(torch.rand(flat.shape[0]) >= self.p)[:, 0]
        factor = 1 / (1 - self.p) if kept.numel() and self.p < 1 else 1.0
        return torch.zeros_like(flat).index_copy(0, kept, flat[kept] * factor).view(x.shape)


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        import tensorflow as tf

        self.rate = rate
        self.numbers = tf.random.Generator.from_non_deterministic_state()

    def call(self, inputs, training=False):
        if training:
            uniform = self.numbers.uniform(keras.ops.shape(inputs))
            inputs = keras.ops.multiply(inputs, keras.ops.cast(uniform >= self.rate, inputs.dtype))
            if self.rate < 1:
                inputs = keras.ops.divide(inputs, keras.ops.cast(1 - self.rate, inputs.dtype))
        return inputs
