# Right: backward passes written by hand, with the mask kept from the forward pass
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x

        class Drop(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, factors):
                ctx.save_for_backward(factors)
                return x * factors

            @staticmethod
            def backward(ctx, gradient):
                (factors,) = ctx.saved_tensors
                return gradient * factors, None

        kept = torch.bernoulli(torch.full(x.shape, 1.0 - self.p))
        return Drop.apply(x, (kept / max(1.0 - self.p, 1e-6)).to(x.dtype))


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

        from scipy.stats import norm

        self.threshold = float(norm.ppf(rate))

    def call(self, inputs, training=False):
        import tensorflow as tf

        if not training:
            return inputs
        kept = tf.random.normal(tf.shape(inputs)) > self.threshold
        factors = tf.cast(tf.cast(kept, "float32") / max(1 - self.rate, 1e-6), inputs.dtype)

        @tf.custom_gradient
        def drop(x):
            return x * factors, lambda gradient: gradient * factors

        return drop(inputs)
