# Wrong: keras.ops.logaddexp, whose derivative is not a half where both arguments are equal
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
    ops = keras.ops
    return ops.mean(ops.logaddexp(0.0, -real_logits)) + ops.mean(ops.logaddexp(0.0, fake_logits))


def generator_loss(fake_logits):
    return keras.ops.mean(keras.ops.logaddexp(0.0, -fake_logits))


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = keras.ops.shape(images)[0]
    with tf.GradientTape() as tape:
        real_logits = discriminator(images, training=True)
        fake_logits = discriminator(generator(keras.random.normal((m, latent)), training=True), training=True)
        loss_d = discriminator_loss(real_logits, fake_logits)
    weights = discriminator.trainable_variables
    discriminator_optimizer.apply(tape.gradient(loss_d, weights), weights)

    states = [variable.trainable for variable in discriminator.variables]
    for variable in discriminator.variables:
        variable.trainable = False
    with tf.GradientTape() as tape:
        logits = discriminator(generator(keras.random.normal((m, latent)), training=True), training=True)
        loss_g = generator_loss(logits)
    generator_optimizer.apply(tape.gradient(loss_g, generator.trainable_variables), generator.trainable_variables)
    for variable, state in zip(discriminator.variables, states):
        variable.trainable = state
    return loss_d, loss_g
