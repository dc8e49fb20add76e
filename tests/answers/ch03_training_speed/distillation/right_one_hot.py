# Right: one-hot labels, logsumexp written out, a loop over the steps of the bias
def log_probabilities(logits):
    return logits - keras.ops.logsumexp(logits, axis=-1, keepdims=True)


def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    n_images, n_classes = student_logits.shape
    p, q = (log_probabilities(keras.ops.divide(logits, temperature)) for logits in (teacher_logits, student_logits))
    divergence = keras.ops.sum(keras.ops.exp(p) * p - keras.ops.exp(p) * q) / n_images
    chosen = keras.ops.one_hot(labels, n_classes) * log_probabilities(student_logits)
    return alpha * divergence * temperature * temperature - (1 - alpha) * keras.ops.sum(chosen) / n_images


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    variables = student.trainable_variables
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        outputs = student(images, training=True)
        loss = distillation_loss(outputs, teacher(images, training=False), labels, temperature, alpha)
    gradients = tape.gradient(loss, [v.value for v in variables])
    optimizer.apply_gradients([(gradient, v) for gradient, v in zip(gradients, variables, strict=True)])
    return loss


def bias_for_share(logits, label, share):
    misses = []
    for row in np.asarray(logits, np.float64):
        best = max(value for column, value in enumerate(row) if column != label)
        misses.append(best - row[label])
    misses.sort()
    won = int(share * len(misses) + 0.5)
    return 0.5 * misses[won - 1] + 0.5 * misses[won]
