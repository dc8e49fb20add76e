# Right: the model cut in two, one image at a time; numpy for everything else
def maps_and_gradients(model, layer, images, classes):
    start = keras.Model(model.inputs, model.get_layer(layer).output)
    rest = keras.Model(model.get_layer(layer).output, model.outputs)
    pairs = []
    for image, label in zip(images, classes, strict=True):
        maps = tf.constant(start.predict(image[None], verbose=0))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logits = rest(maps, training=False)
            chosen = (logits[0] if isinstance(logits, list) else logits)[0, int(label)]
        pairs.append((maps.numpy()[0], np.array(tape.gradient(chosen, maps))[0]))
    return np.stack([maps for maps, _ in pairs]), np.stack([gradient for _, gradient in pairs])


def grad_cam(maps, gradients, average=True):
    heats = []
    for a, g in zip(maps, gradients, strict=True):
        if average:
            g = np.ones_like(g) * g.reshape(-1, g.shape[-1]).mean(0)
        heats.append(np.einsum("hwk,hwk->hw", a, g))
    return np.clip(np.array(heats), 0, None)


def ends(n, N):
    at = np.clip((np.arange(N) + 0.5) * n / N - 0.5, 0, n - 1)
    low = np.minimum(at.astype(int), max(n - 2, 0))
    matrix = np.zeros((N, n))
    for i, (a, b) in enumerate(zip(at, low, strict=True)):
        matrix[i, b] += 1 - (a - b)
        matrix[i, min(b + 1, n - 1)] += a - b
    return matrix


def upsample(heat, size):
    heat = np.asarray(heat, float)
    fine = ends(heat.shape[1], size[0]) @ heat @ ends(heat.shape[2], size[1]).T
    return np.stack([one / one.max() if one.any() else one for one in fine])


def share_inside(heat, boxes):
    found = []
    for one, box in zip(heat, boxes, strict=True):
        a, b, c, d = map(int, box)
        mask = np.zeros(one.shape, bool)
        mask[a:c, b:d] = True
        found.append(float(np.sum(one[mask]) / np.sum(one)) if one.any() else 0.0)
    return np.array(found)
