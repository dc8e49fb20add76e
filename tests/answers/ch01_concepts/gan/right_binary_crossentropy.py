# Right: Keras' binary cross-entropy, keras.random and apply_gradients
def build_generator(size: int, latent: int = 16, width: int = 32) -> keras.Model:
    start, doublings = upsampling_plan(size)
    layers = [
        keras.Input((latent,)),
        keras.layers.Dense(start * start * width),
        keras.layers.Reshape((start, start, width)),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    return keras.Sequential([*layers, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")])


entropy = keras.losses.BinaryCrossentropy(from_logits=True)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    return entropy(tf.ones_like(real_logits), real_logits) + entropy(tf.zeros_like(fake_logits), fake_logits)


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    return entropy(tf.ones_like(fake_logits), fake_logits)


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = tf.shape(images)[0]
    with tf.GradientTape() as tape:
        fakes = generator(keras.random.normal((m, latent)), training=True)
        loss_d = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    variables = discriminator.trainable_variables
    discriminator_optimizer.apply_gradients(zip(tape.gradient(loss_d, variables), variables))

    with tf.GradientTape() as tape:
        fakes = generator(keras.random.normal((m, latent)), training=True)
        loss_g = generator_loss(discriminator(fakes, training=True))
    variables = generator.trainable_variables
    generator_optimizer.apply_gradients(zip(tape.gradient(loss_g, variables), variables))
    return loss_d, loss_g
