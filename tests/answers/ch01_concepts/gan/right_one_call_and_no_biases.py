# Right: real and generated images in one call, no biases in front of batch normalisation, log_sigmoid
def build_generator(size: int, latent: int = 16, width: int = 32) -> keras.Model:
    start, doublings = upsampling_plan(size)
    layers = [
        keras.Input((latent,)),
        keras.layers.Dense(start * start * width, use_bias=False, kernel_initializer=keras.initializers.RandomNormal(stddev=0.02)),
        keras.layers.Reshape((start, start, width)),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    return keras.Sequential([*layers, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")])


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(-tf.math.log_sigmoid(real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(-tf.math.log_sigmoid(fake_logits))


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = tf.shape(images)[0]
    fakes = generator(tf.random.normal((m, latent)), training=True)
    with tf.GradientTape() as tape:
        loss_d = discriminator_loss(*tf.split(discriminator(tf.concat([images, fakes], 0), training=True), 2))
    variables = discriminator.trainable_variables
    discriminator_optimizer.apply(tape.gradient(loss_d, variables), variables)

    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal((m, latent)), training=True)
        loss_g = generator_loss(discriminator(fakes, training=True))
    variables = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(loss_g, variables), variables)
    return loss_d, loss_g
