# Right: Keras alone: functional networks, BinaryCrossentropy, apply_gradients
def build_generator(size, latent=16, width=32):
    start, doublings = upsampling_plan(size)
    x = noise = keras.Input((latent,))
    x = keras.layers.Dense(start**2 * width, use_bias=False)(x)
    x = keras.layers.Reshape((start, start, width))(x)
    x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    for _ in range(doublings):
        x = keras.layers.Conv2DTranspose(width, (4, 4), strides=(2, 2), padding="same", use_bias=False)(x)
        x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(1, 3, padding="same")(x)
    return keras.Model(noise, keras.layers.Activation("sigmoid")(x))


cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)


def discriminator_loss(real_logits, fake_logits):
    real = cross_entropy(keras.ops.ones_like(real_logits), real_logits)
    return real + cross_entropy(keras.ops.zeros_like(fake_logits), fake_logits)


def generator_loss(fake_logits):
    return cross_entropy(keras.ops.ones_like(fake_logits), fake_logits)


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    noise = keras.random.normal((len(images), latent))
    fakes = generator(noise, training=True)
    with tf.GradientTape() as tape:
        d_loss = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    grads = tape.gradient(d_loss, discriminator.trainable_weights)
    discriminator_optimizer.apply_gradients(zip(grads, discriminator.trainable_weights))
    noise = keras.random.normal((len(images), latent))
    with tf.GradientTape() as tape:
        g_loss = generator_loss(discriminator(generator(noise, training=True), training=True))
    grads = tape.gradient(g_loss, generator.trainable_weights)
    generator_optimizer.apply_gradients(zip(grads, generator.trainable_weights))
    return d_loss, g_loss
