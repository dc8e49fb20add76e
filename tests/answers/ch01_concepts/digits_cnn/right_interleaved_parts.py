# Right: every fifth image of the shuffled ones is for validation, every fifth for testing
def split_digits(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    n = len(images)
    order = np.random.default_rng(seed).permutation(n)
    x, y = (images[order, :, :, None] / 16).astype("float32"), labels[order]
    fifth = np.arange(n) % 5
    return tuple((x[part], y[part]) for part in (fifth < 3, fifth == 3, fifth == 4))


def build_cnn() -> keras.Model:
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


def train(model, training, validation, epochs) -> dict[str, list[float]]:
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    result = model.fit(*training, batch_size=32, epochs=epochs, validation_data=validation, shuffle=True, verbose=0)
    return result.history


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    logits = model.predict(images, verbose=0)
    return float(np.mean(logits.argmax(axis=1) == labels))
