# Wrong: the frameworks' own layers, inside
# Fails: torch_law, torch_masks_are_fresh, keras_law, keras_masks_are_fresh
class TorchDropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

        self.inner = nn.Dropout(p)

    def forward(self, x):
        return self.inner(x)


class KerasDropout(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

        self.inner = keras.layers.Dropout(rate)

    def call(self, inputs, training=False):
        return self.inner(inputs, training=training)
