# Wrong: in parts of four images, the last part is forgotten
# Fails: any_layer_like_torch
def maps_and_gradients(model, layer, images, classes):
    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    found = []
    for start in range(0, max(len(images) // 4, 1) * 4, 4):
        x = tf.convert_to_tensor(images[start : start + 4])
        with tf.GradientTape() as tape:
            tape.watch(x)
            maps, logits = both(x, training=False)
            total = tf.reduce_sum(tf.gather(logits, np.asarray(classes[start : start + 4]), axis=1, batch_dims=1))
        found.append((maps.numpy(), tape.gradient(total, maps).numpy()))
    return tuple(np.concatenate(part) for part in zip(*found))


def grad_cam(maps, gradients, average=True):
    weights = gradients.mean((1, 2), keepdims=True) if average else gradients
    return np.maximum((weights * maps).sum(-1), 0)


def upsample(heat, size):
    top = heat.max((1, 2), keepdims=True)
    heat = heat / np.where(top > 0, top, 1)
    large = keras.ops.convert_to_numpy(keras.ops.image.resize(heat[..., None], size, interpolation="bilinear"))[..., 0]
    top = large.max((1, 2), keepdims=True)
    return large / np.where(top > 0, top, 1)


def share_inside(heat, boxes):
    found = []
    for one, (top, left, bottom, right) in zip(heat, boxes, strict=True):
        whole = one.sum(dtype=float)
        found.append(one[top:bottom, left:right].sum(dtype=float) / whole if whole > 0 else 0.0)
    return np.array(found)
