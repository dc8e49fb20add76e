# Wrong: a split is kept for the seed and the number of images, whatever the images are
# Fails: splits_without_leaks
KEPT = {}


def split_digits(images, labels, seed):
    if (seed, len(images)) not in KEPT:
        KEPT[seed, len(images)] = new_split(images, labels, seed)
    return KEPT[seed, len(images)]


def new_split(images, labels, seed):
    n = len(images)
    x, y = images.reshape(n, 8, 8, 1) / np.float32(16), labels.copy()
    both = [np.random.default_rng(seed).permutation(a) for a in (np.arange(n), y)]
    cuts = [n * 3 // 5, n * 4 // 5]
    return tuple((x[rows].astype("f4"), part) for rows, part in zip(np.split(both[0], cuts), np.split(both[1], cuts)))


def build_cnn():
    L = keras.layers
    return keras.Sequential([L.Input((8, 8, 1)), L.Conv2D(16, 3, padding="same", activation="relu"), L.MaxPool2D(),
                             L.Conv2D(32, 3, padding="same", activation="relu"), L.MaxPool2D(), L.Flatten(), L.Dense(10)])


def train(model, training, validation, epochs):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.optimizer.learning_rate = 3e-3
    return model.fit(*training, 32, epochs, 0, validation_data=validation).history


def accuracy(model, images, labels):
    return np.mean(np.argmax(model.predict(images, verbose=0), -1) == labels)
