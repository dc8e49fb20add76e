# Right: networks as classes, the discriminator called once on real and generated images together
class Generator(keras.Model):
    def __init__(self, start, doublings, width):
        super().__init__()
        self.dense = keras.layers.Dense(start * start * width)
        self.shape_of_start = (-1, start, start, width)
        self.up = [keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same") for _ in range(doublings)]
        self.norms = [keras.layers.BatchNormalization() for _ in range(doublings + 1)]
        self.to_pixels = keras.layers.Conv2D(1, 3, padding="same")

    def call(self, z, training=False):
        x = tf.reshape(self.dense(z), self.shape_of_start)
        x = tf.nn.relu(self.norms[0](x, training=training))
        for up, norm in zip(self.up, self.norms[1:]):
            x = tf.nn.relu(norm(up(x), training=training))
        return tf.sigmoid(self.to_pixels(x))


def build_generator(size, latent=16, width=32):
    model = Generator(*upsampling_plan(size), width)
    model(np.zeros((1, latent), "float32"))
    return model


def discriminator_loss(real_logits, fake_logits):
    return -tf.reduce_mean(tf.math.log_sigmoid(real_logits)) - tf.reduce_mean(tf.math.log_sigmoid(-fake_logits))


def generator_loss(fake_logits):
    return -tf.reduce_mean(tf.math.log_sigmoid(fake_logits))


def gan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, images, latent):
    m = tf.shape(images)[0]
    fakes = generator(tf.random.normal([m, latent]), training=True)
    with tf.GradientTape() as tape:
        logits = discriminator(tf.concat([images, fakes], axis=0), training=True)
        d_loss = discriminator_loss(logits[:m], logits[m:])
    d_gradients = tape.gradient(d_loss, discriminator.trainable_variables)
    discriminator_optimizer.apply(d_gradients, discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        logits = discriminator(generator(tf.random.normal([m, latent]), training=True), training=True)
        g_loss = generator_loss(logits)
    generator_optimizer.apply(tape.gradient(g_loss, generator.trainable_variables), generator.trainable_variables)
    return d_loss, g_loss
