# Right: torch.where and keras.ops.where, on inputs that were scaled by a finite factor; random numbers of TensorFlow
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x.clone()
        dropped = torch.rand_like(x, dtype=torch.float64) < self.p
        scaled = x / max(1 - self.p, 1e-3) if self.p == 1 else x / (1 - self.p)
        return torch.where(dropped, 0.0, scaled).to(x.dtype)


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training=None):
        import tensorflow as tf

        if training is None or not training:
            return tf.identity(inputs)
        dropped = tf.random.uniform(tf.shape(inputs)) < self.rate
        factor = 1.0 if self.rate == 1 else 1.0 / (1.0 - self.rate)
        return keras.ops.where(dropped, keras.ops.zeros_like(inputs), inputs * factor)
