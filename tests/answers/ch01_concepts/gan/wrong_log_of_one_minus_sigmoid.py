# Wrong: 1 - sigmoid is 0 from logits of 17 on
# Fails: losses_are_those_of_logits
def build_generator(size, latent=16, width=32):
    start, doublings = upsampling_plan(size)
    model = keras.Sequential([keras.Input((latent,))])
    model.add(keras.layers.Dense(start * start * width))
    model.add(keras.layers.Reshape((start, start, width)))
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.ReLU())
    for _ in range(doublings):
        model.add(keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same"))
        model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.ReLU())
    model.add(keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    return model


def discriminator_loss(real_logits, fake_logits):
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) - tf.reduce_mean(tf.math.log(1 - tf.sigmoid(fake_logits)))


def generator_loss(fake_logits):
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = images.shape[0]
    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal((m, latent)), training=True)
        real_logits = discriminator(images, training=True)
        fake_logits = discriminator(fakes, training=True)
        loss_d = discriminator_loss(real_logits, fake_logits)
    gradients = tape.gradient(loss_d, discriminator.trainable_variables)
    discriminator_optimizer.apply(gradients, discriminator.trainable_variables)

    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal((m, latent)), training=True)
        fake_logits = discriminator(fakes, training=True)
        loss_g = generator_loss(fake_logits)
    gradients = tape.gradient(loss_g, generator.trainable_variables)
    generator_optimizer.apply(gradients, generator.trainable_variables)
    return loss_d, loss_g
