# Wrong: takes all sizes but the first from the static shape
# Fails: keras_masks_are_fresh
class TorchDropout(nn.Module):
    """Inverted dropout for PyTorch.

    Args:
        p: probability with which an element is dropped, from 0 to 1, both included.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drops elements of x in training mode; in evaluation mode, the result is equal to x bit by
        bit.

        In training mode, each element is set to zero with probability p, whatever the type of x (a
        small p stays small in bfloat16), independently of all others and anew in each call, and is divided by 1 - p otherwise. The gradient goes through
        the same elements by the same factor. With p = 0, nothing changes; with p = 1, result and
        gradient are zero.

        Args:
            x: finite numbers of any shape and any floating type; not modified.

        Returns:
            A tensor of the shape and type of x. Random numbers come from torch: torch.manual_seed
            repeats them.
        """
        if not self.training:
            return x
        keep = torch.rand(x.shape, device=x.device) >= self.p
        factor = 0.0 if self.p == 1 else 1 / (1 - self.p)
        return torch.where(keep, x * factor, torch.zeros_like(x))


class KerasDropout(keras.layers.Layer):
    """Inverted dropout for Keras.

    Args:
        rate: probability with which an element is dropped, from 0 to 1, both included.
        kwargs: as for every layer of Keras, such as name and dtype.
    """

    def __init__(self, rate: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training: bool = False):
        """Drops elements of the inputs if training is true; otherwise the result is equal to them
        bit by bit.

        What training does is said in TorchDropout.forward, with rate in place of p. It holds for
        eager calls as well as for compiled ones (tf.function, as used by fit): there, too, the mask
        is a new one in each call, and the batch may have any size.

        Args:
            inputs: finite numbers of any shape and of the type that the layer computes in.

        Returns:
            A tensor of the shape and type of inputs.
        """
        if not training:
            return inputs
        keep = keras.random.uniform((keras.ops.shape(inputs)[0], *inputs.shape[1:]), seed=self.seed_generator, dtype="float32") >= self.rate
        factor = 0.0 if self.rate == 1 else 1 / (1 - self.rate)
        return keras.ops.where(keep, inputs * factor, keras.ops.zeros_like(inputs))
