# Wrong: the highest gradient instead of the mean
# Fails: maps_by_hand, grad_cam_by_loops
def maps_and_gradients(model: keras.Model, layer: str, images: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps, logits = both(images, training=False)
        chosen = tf.reduce_sum(tf.gather(logits, tf.convert_to_tensor(classes), axis=1, batch_dims=1))
    return maps.numpy(), tape.gradient(chosen, maps).numpy()


def grad_cam(maps: np.ndarray, gradients: np.ndarray, average: bool = True) -> np.ndarray:
    weights = gradients.max((1, 2), keepdims=True) if average else gradients
    return np.maximum((weights * maps).sum(-1), 0)


def upsample(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    fine = np.array(keras.ops.image.resize(heat[..., None], size, interpolation="bilinear"))[..., 0]
    highest = fine.max((1, 2), keepdims=True)
    return fine / np.where(highest > 0, highest, 1)


def share_inside(heat: np.ndarray, boxes) -> np.ndarray:
    shares = np.zeros(len(heat))
    for i, (top, left, bottom, right) in enumerate(boxes):
        total = heat[i].sum()
        if total > 0:
            shares[i] = heat[i, top:bottom, left:right].sum() / total
    return shares
