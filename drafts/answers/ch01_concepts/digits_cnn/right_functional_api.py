# Right: functional Keras API, activations as layers of their own, scikit-learn's splitter, a Keras metric
def split_digits(images, labels, seed):
    from sklearn.model_selection import train_test_split

    x = np.expand_dims(images / 16.0, -1).astype(np.float32)
    x_train, x_rest, y_train, y_rest = train_test_split(x, labels, test_size=0.4, random_state=seed)
    x_validation, x_test, y_validation, y_test = train_test_split(x_rest, y_rest, test_size=0.5, random_state=seed)
    return (x_train, y_train), (x_validation, y_validation), (x_test, y_test)


def build_cnn():
    inputs = x = keras.Input(shape=(8, 8, 1))
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, kernel_size=(3, 3), padding="same")(x)
        x = keras.layers.MaxPool2D(pool_size=2, strides=2)(x)
        x = keras.layers.ReLU()(x)
    logits = keras.layers.Dense(10, activation="linear")(keras.layers.Flatten()(x))
    return keras.Model(inputs, logits)


def train(model, training, validation, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss, metrics=["accuracy"])
    losses = {"loss": [], "val_loss": []}
    for _ in range(epochs):
        model.fit(*training, batch_size=32, epochs=1, verbose=0)
        losses["loss"].append(model.evaluate(*training, verbose=0, return_dict=True)["loss"])
        losses["val_loss"].append(model.evaluate(*validation, verbose=0, return_dict=True)["loss"])
    return losses


def accuracy(model, images, labels):
    metric = keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(labels, model(images, training=False))
    return float(metric.result())
