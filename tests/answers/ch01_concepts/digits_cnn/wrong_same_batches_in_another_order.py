# Wrong: the same batches in each epoch, in another order
# Fails: trains_by_the_recipe
def split_digits(images, labels, seed):
    rng = np.random.default_rng(seed)
    key = rng.random(len(images))
    order = key.argsort()
    x = np.asarray(images, dtype=np.float32)[order].reshape(-1, 8, 8, 1) * np.float32(1 / 16)
    y = np.asarray(labels)[order]
    a, b = int(0.6 * len(x)), int(0.8 * len(x))
    return [(x[:a], y[:a]), (x[a:b], y[a:b]), (x[b:], y[b:])]


class DigitsCNN(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Conv2D(16, 3, padding="same", activation=keras.activations.relu)
        self.second = keras.layers.Conv2D(32, 3, padding="same", activation=keras.activations.relu)
        self.pool = keras.layers.MaxPooling2D()
        self.flatten = keras.layers.Flatten()
        self.last = keras.layers.Dense(10)

    def call(self, x):
        x = self.pool(self.first(x))
        x = self.pool(self.second(x))
        return self.last(self.flatten(x))


def build_cnn():
    model = DigitsCNN()
    model(np.zeros((1, 8, 8, 1), "float32"))  # makes the weights
    return model


def mean_loss(logits, labels):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def train(model, training, validation, epochs):
    import tensorflow as tf

    x, y = training[0], training[1].astype("int32")
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = mean_loss(model(images, training=True), labels)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    losses = {"loss": [], "val_loss": []}
    order = np.random.permutation(len(x))
    for _ in range(epochs):
        total = 0.0
        for start in np.random.permutation(np.arange(0, len(x), 32)):
            rows = order[start : start + 32]
            total += float(step(tf.constant(x[rows]), tf.constant(y[rows]))) * len(rows)
        losses["loss"].append(total / len(x))
        losses["val_loss"].append(float(mean_loss(model(validation[0], training=False), validation[1].astype("int32"))))
    return losses


def accuracy(model, images, labels):
    hits = 0
    for start in range(0, len(images), 50):
        logits = keras.ops.convert_to_numpy(model(images[start : start + 50], training=False))
        hits += sum(int(np.argmax(row)) == label for row, label in zip(logits, labels[start : start + 50]))
    return hits / len(images)
