# Wrong: frozen weights are updated, too
# Fails: discriminator_takes_its_step, generator_takes_its_step
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
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits):
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def descend(tape, loss, network, optimizer):
    for variable, gradient in zip(network.weights, tape.gradient(loss, [variable.value for variable in network.weights])):
        variable.assign_sub(optimizer.learning_rate * gradient)
    optimizer.iterations.assign_add(1)


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = images.shape[0]
    with tf.GradientTape() as tape:
        tape.watch([variable.value for variable in discriminator.weights])
        fakes = generator(tf.random.normal((m, latent)), training=True)
        real_logits = discriminator(images, training=True)
        fake_logits = discriminator(fakes, training=True)
        loss_d = discriminator_loss(real_logits, fake_logits)
    descend(tape, loss_d, discriminator, discriminator_optimizer)

    with tf.GradientTape() as tape:
        tape.watch([variable.value for variable in generator.weights])
        fakes = generator(tf.random.normal((m, latent)), training=True)
        fake_logits = discriminator(fakes, training=True)
        loss_g = generator_loss(fake_logits)
    descend(tape, loss_g, generator, generator_optimizer)
    return loss_d, loss_g
