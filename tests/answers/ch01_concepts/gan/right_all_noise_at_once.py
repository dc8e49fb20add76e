# Right: one draw of noise cut in halves, sigmoid_cross_entropy_with_logits, a compiled helper per half
def build_generator(size, latent=16, width=32):
    start, doublings = upsampling_plan(size)
    block = lambda: [keras.layers.BatchNormalization(), keras.layers.Activation(keras.ops.relu)]
    up = lambda: [keras.layers.Conv2DTranspose(width, 4, 2, "same", kernel_initializer="he_normal"), *block()]
    layers = sum((up() for _ in range(doublings)), [])
    first = [keras.layers.Dense(start * start * width), keras.layers.Reshape((start, start, width)), *block()]
    last = keras.layers.Conv2D(filters=1, kernel_size=3, padding="same", activation=keras.activations.sigmoid)
    return keras.Sequential([keras.Input(shape=(latent,)), *first, *layers, last], name="generator")


def bce(label, logits):
    labels = label * tf.ones_like(logits)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def discriminator_loss(real_logits, fake_logits):
    return tf.add_n([bce(1.0, real_logits), bce(0.0, fake_logits)])


def generator_loss(fake_logits):
    return bce(1.0, fake_logits)


def minimise(loss_of, network, optimizer):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for variable in network.trainable_variables:
            tape.watch(variable.value)
        loss = loss_of()
    optimizer.apply(tape.gradient(loss, [variable.value for variable in network.trainable_variables]), network.trainable_variables)
    return loss


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    for_d, for_g = tf.split(tf.random.normal((2 * images.shape[0], latent)), 2)
    judge = lambda batch: discriminator(batch, training=True)
    fool = lambda noise: judge(generator(noise, training=True))
    return (
        minimise(lambda: discriminator_loss(judge(images), fool(for_d)), discriminator, discriminator_optimizer),
        minimise(lambda: generator_loss(fool(for_g)), generator, generator_optimizer),
    )
