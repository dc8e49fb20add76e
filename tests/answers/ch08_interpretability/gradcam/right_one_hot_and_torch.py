# Right: a mask of the classes, frozen maps watched, torch for the interpolation
def maps_and_gradients(model, layer, images, classes):
    twin = keras.Model(inputs=model.inputs[0], outputs={"maps": model.get_layer(layer).output, "logits": model.outputs[0]})
    points = tf.Variable(images)
    with tf.GradientTape() as tape:
        found = twin(tf.identity(points), training=False)
        score = tf.reduce_sum(found["logits"] * tf.one_hot(np.asarray(classes), found["logits"].shape[-1]))
    slope = tape.gradient(score, found["maps"])
    return np.asarray(found["maps"]), np.asarray(slope)


def grad_cam(maps, gradients, average=True):
    maps, gradients = torch.tensor(maps), torch.tensor(gradients)
    if average:
        gradients = gradients.mean(dim=(1, 2))[:, None, None, :]
    return (maps * gradients).sum(-1).relu().numpy()


def upsample(heat, size):
    fine = F.interpolate(torch.tensor(heat, dtype=torch.float64)[:, None], size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
    top = fine.flatten(1).max(1).values
    top[top == 0] = 1
    return (fine / top[:, None, None]).numpy()


def share_inside(heat, boxes):
    # Sums over rectangles from an integral image.
    sums = np.zeros((len(heat), heat.shape[1] + 1, heat.shape[2] + 1))
    sums[:, 1:, 1:] = heat.cumsum(1).cumsum(2)
    i = np.arange(len(heat))
    top, left, bottom, right = np.array(boxes).T
    inside = sums[i, bottom, right] - sums[i, top, right] - sums[i, bottom, left] + sums[i, top, left]
    return inside / np.where(sums[:, -1, -1] > 0, sums[:, -1, -1], 1)
