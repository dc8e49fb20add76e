# Right: the divergence from ratios of shifted exponentials, the step through the optimizer of a method, the bias by bisection
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    def parts(logits):
        shifted = logits - keras.ops.max(logits, axis=1, keepdims=True)
        return shifted, keras.ops.log(keras.ops.sum(keras.ops.exp(shifted), axis=1, keepdims=True))

    (z, log_z), (v, log_v) = parts(teacher_logits / temperature), parts(student_logits / temperature)
    p = keras.ops.exp(z - log_z)
    kl = keras.ops.mean(keras.ops.sum(p * ((z - log_z) - (v - log_v)), axis=1))
    u, log_u = parts(student_logits)
    index = keras.ops.expand_dims(keras.ops.cast(labels, "int32"), 1)
    ce = -keras.ops.mean(keras.ops.take_along_axis(u - log_u, index, axis=1))
    return alpha * (temperature**2) * kl + (1 - alpha) * ce


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    targets = teacher(images, training=False)

    def loss_of_student():
        return distillation_loss(student(images, training=True), targets, labels, temperature, alpha)

    with tf.GradientTape() as tape:
        loss = loss_of_student()
    slopes = tape.gradient(loss, student.trainable_variables)
    optimizer.build(student.trainable_variables) if not optimizer.built else None
    optimizer.apply(slopes)
    return loss


def bias_for_share(logits, label, share):
    logits = logits.astype("float64")
    others = np.delete(logits, label, 1).max(1)
    wanted = round(share * len(logits))
    count = lambda b: int((logits[:, label] + b > others).sum())

    def edge(enough):
        low, high = -1e4, 1e4
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (low, middle) if count(middle) >= enough else (middle, high)
        return high

    return (edge(wanted) + edge(wanted + 1)) / 2
