# Right: the step is a tf.function itself; softplus from max and log1p; bits of the size
def build_generator(size, latent=16, width=32):
    start, doublings = upsampling_plan(size)
    model = keras.models.Sequential()
    model.add(keras.layers.InputLayer(shape=(latent,)))
    model.add(keras.layers.Dense(start * start * width, kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)))
    model.add(keras.layers.Reshape((start, start, width)))
    for step in range(doublings + 1):
        if step:
            model.add(keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same"))
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.LeakyReLU(negative_slope=0.0))
    model.add(keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    return model


def minus_log_sigmoid(logits):
    return -tf.reduce_mean(tf.math.log_sigmoid(logits))


def discriminator_loss(real_logits, fake_logits):
    return minus_log_sigmoid(real_logits) + minus_log_sigmoid(-fake_logits)


def generator_loss(fake_logits):
    return minus_log_sigmoid(fake_logits)


@tf.function
def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    with tf.GradientTape() as tape:
        fakes = tf.stop_gradient(generator(tf.random.normal((images.shape[0], latent)), training=True))
        d_loss = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    discriminator_optimizer.apply(tape.gradient(d_loss, discriminator.trainable_variables), discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal((images.shape[0], latent)), training=True)
        g_loss = generator_loss(discriminator(fakes, training=True))
    generator_optimizer.apply(tape.gradient(g_loss, generator.trainable_variables), generator.trainable_variables)
    return [d_loss, g_loss]
