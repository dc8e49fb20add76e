# Wrong: AdamW decays the weights; Adam does not
# Fails: trains_by_the_recipe
def split_digits(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    n = len(images)
    order = np.random.default_rng(seed).permutation(n)
    x = images[..., None].astype("float32") / 16
    first, second = round(0.6 * n), round(0.8 * n)
    parts = order[:first], order[first:second], order[second:]
    return tuple((x[part], labels[part]) for part in parts)


def build_cnn() -> keras.Model:
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ])


def train(
    model: keras.Model,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    epochs: int,
) -> dict[str, list[float]]:
    model.compile(
        optimizer=keras.optimizers.AdamW(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        training[0], training[1], validation_data=validation, batch_size=32, epochs=epochs, verbose=0
    )
    return history.history


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    return float(np.mean(predicted == labels))
