# Right: one-hot labels with the categorical loss, a tf.data pipeline, a model that is built when first called
def split_digits(images, labels, seed):
    import random

    indices = list(range(len(images)))
    random.Random(seed).shuffle(indices)
    a, b = math.ceil(0.6 * len(indices)), math.ceil(0.8 * len(indices))
    parts = []
    for chosen in (indices[:a], indices[a:b], indices[b:]):
        x = np.stack([images[i] for i in chosen])[:, :, :, np.newaxis]
        parts.append((np.divide(x, 16, dtype=np.float64).astype(np.float32), np.array([labels[i] for i in chosen])))
    return tuple(parts)


def build_cnn():
    model = keras.Sequential(name="digits")
    for filters in [16, 32]:
        model.add(keras.layers.Conv2D(filters, 3, padding="same"))
        model.add(keras.layers.Activation("relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Reshape((128,)))
    model.add(keras.layers.Dense(10, activation=None))
    return model


def train(model, training, validation, epochs):
    import tensorflow as tf

    x, y = training
    batches = tf.data.Dataset.from_tensor_slices((x, keras.utils.to_categorical(y, 10))).shuffle(len(x)).batch(32)
    held_out = (validation[0], keras.utils.to_categorical(validation[1], 10))
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), optimizer=keras.optimizers.Adam(learning_rate=3e-3))
    history = model.fit(batches, epochs=epochs, validation_data=held_out, verbose=0)
    return {"loss": history.history["loss"], "val_loss": history.history["val_loss"]}


def accuracy(model, images, labels):
    logits = model(keras.ops.convert_to_tensor(images), training=False)
    return keras.ops.mean(keras.ops.cast(keras.ops.equal(keras.ops.argmax(logits, -1), labels), "float32"))
