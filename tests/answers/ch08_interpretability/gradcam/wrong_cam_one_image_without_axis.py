# Wrong: a single image loses its axis
# Fails: grad_cam_by_loops, hirescam_by_loops
def maps_and_gradients(model, layer, images, classes):
    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps, logits = both(images, training=False)
        total = tf.reduce_sum(tf.gather(logits, np.asarray(classes), axis=1, batch_dims=1))
    return maps.numpy(), tape.gradient(total, maps).numpy()


def grad_cam(maps, gradients, average=True):
    weights = gradients.mean((1, 2), keepdims=True) if average else gradients
    heat = np.maximum((weights * maps).sum(-1), 0)
    return heat[0] if len(heat) == 1 and heat.shape[1] > 1 else heat


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
