# Right: functional network, an own loop over batches, losses measured after each epoch
def split_digits(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    n = len(images)
    order = np.random.default_rng(seed).permutation(n)
    x, y = (images[order, :, :, None] / 16).astype("float32"), labels[order]
    first, second = round(0.6 * n), round(0.8 * n)
    return (x[:first], y[:first]), (x[first:second], y[first:second]), (x[second:], y[second:])


def build_cnn() -> keras.Model:
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 1))
    for filters in (16, 32):
        x = layers.ReLU()(layers.Conv2D(filters, 3, padding="same")(x))
        x = layers.MaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(layers.Reshape((128,))(x)))


def train(model, training, validation, epochs) -> dict[str, list[float]]:
    import tensorflow

    optimizer = keras.optimizers.Adam(3e-3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    history = {"loss": [], "val_loss": []}
    images, labels = training
    for _ in range(epochs):
        order = np.random.permutation(len(images))
        for rows in np.split(order, range(32, len(order), 32)):
            with tensorflow.GradientTape() as tape:
                value = loss(labels[rows], model(images[rows], training=True))
            optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        for key, (x, y) in (("loss", training), ("val_loss", validation)):
            history[key].append(float(loss(y, model.predict(x, verbose=0))))
    return history


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    logits = np.concatenate([np.asarray(model(images[i : i + 100], training=False)) for i in range(0, len(images), 100)])
    return float(np.mean(logits.argmax(axis=1) == labels))
