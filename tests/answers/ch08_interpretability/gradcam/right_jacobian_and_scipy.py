# Right: scipy's zoom, logits one by one through a persistent tape
def maps_and_gradients(model, layer, images, classes):
    both = keras.Model(model.inputs, [model.get_layer(layer).output] + list(model.outputs))
    values = keras.ops.convert_to_tensor(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        maps, logits = both([values], training=False)
        columns = tf.unstack(logits, axis=1)
    slopes = {int(c): tape.gradient(columns[int(c)], maps).numpy() for c in set(int(c) for c in classes)}
    return maps.numpy(), np.stack([slopes[int(c)][i] for i, c in enumerate(classes)])


def grad_cam(maps, gradients, average=True):
    n, h, w, k = maps.shape
    if not average:
        total = sum(maps[..., j] * gradients[..., j] for j in range(k))
    else:
        total = np.matmul(maps.reshape(n, h * w, k), gradients.sum(axis=(1, 2))[..., None] / (h * w)).reshape(n, h, w)
    return np.where(total > 0, total, 0)


def upsample(heat, size):
    from scipy.ndimage import zoom

    fine = []
    for one in heat:
        # The mode "nearest" repeats the border, and grid_mode takes pixels as areas.
        large = zoom(one.astype(float), (size[0] / one.shape[0], size[1] / one.shape[1]), order=1, mode="nearest", grid_mode=True)
        fine.append(large if large.max() == 0 else large / large.max())
    return np.array(fine)


def share_inside(heat, boxes):
    total = heat.sum(axis=(1, 2))
    inside = np.array([one[slice(box[0], box[2]), slice(box[1], box[3])].sum() for one, box in zip(heat, boxes, strict=True)])
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(inside / total)
