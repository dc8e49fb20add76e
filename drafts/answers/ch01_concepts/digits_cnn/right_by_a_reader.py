# Right: by a reader who saw the release alone
def split_digits(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Scales and shuffles the images and splits them into training, validation and test data."""
    n = len(images)
    order = np.random.default_rng(seed).permutation(n)
    x = (images / 16).astype("float32")[..., None]
    parts = np.split(order, [round(0.6 * n), round(0.8 * n)])
    return tuple((x[part], labels[part]) for part in parts)


def build_cnn() -> keras.Model:
    """(m, 8, 8, 1) images to (m, 10) logits."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(10),
    ])


def train(
    model: keras.Model,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    epochs: int,
) -> dict[str, list[float]]:
    """Trains the model on the training data for exactly `epochs` epochs."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(*training, validation_data=validation, batch_size=32, epochs=epochs, shuffle=True, verbose=0)
    return history.history


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images, from 0 to 1, whose largest logit is the one of their label."""
    logits = model.predict(images, verbose=0)
    return float(np.mean(logits.argmax(axis=1) == labels))
