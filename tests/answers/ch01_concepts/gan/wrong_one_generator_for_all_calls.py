# Wrong: a generator is made once for each size and returned again, trained or not
# Fails: generator_follows_the_plan
from functools import cache


@cache
def build_generator(size: int, latent: int = 16, width: int = 32) -> keras.Model:
    """The generator: (m, latent) noise to (m, size, size, 1) images."""
    layers = keras.layers
    start, doublings = upsampling_plan(size)
    model = keras.Sequential([
        keras.Input((latent,)),
        layers.Dense(start * start * width),
        layers.Reshape((start, start, width)),
        layers.BatchNormalization(),
        layers.ReLU(),
    ])
    for _ in range(doublings):
        model.add(layers.Conv2DTranspose(width, 4, strides=2, padding="same"))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    return model


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Mean of -log D over the real images plus mean of -log(1 - D) over the generated ones."""
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """The non-saturating loss: the mean of -log D over the generated images."""
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def gan_step(
    generator: keras.Model,
    discriminator: keras.Model,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    images: tf.Tensor,
    latent: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of the discriminator, then one of the generator."""
    m = tf.shape(images)[0]

    fakes = generator(tf.random.normal((m, latent)), training=True)
    with tf.GradientTape() as tape:
        d_loss = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    weights = discriminator.trainable_variables
    discriminator_optimizer.apply(tape.gradient(d_loss, weights), weights)

    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal((m, latent)), training=True)
        g_loss = generator_loss(discriminator(fakes, training=True))
    weights = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(g_loss, weights), weights)
    return d_loss, g_loss
