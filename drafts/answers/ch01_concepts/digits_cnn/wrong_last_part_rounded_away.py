# Wrong: each part is rounded down, so the last images are in none
# Fails: splits_without_leaks
def split_digits(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    n = len(images)
    order = np.random.default_rng(seed).permutation(n)
    x = images[..., None].astype("float32") / 16
    first, fifth = int(0.6 * n), int(0.2 * n)
    parts = order[:first], order[first:first + fifth], order[first + fifth:first + 2 * fifth]
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
    raise NotImplementedError


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    return float(np.mean(predicted == labels))
