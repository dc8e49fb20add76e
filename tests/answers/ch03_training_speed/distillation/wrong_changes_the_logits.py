# Wrong: adds the bias to the logits that it was given
# Fails: bias_for_any_column_and_share
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    log_p = keras.ops.log_softmax(teacher_logits / temperature)
    log_q = keras.ops.log_softmax(student_logits / temperature)
    soft = keras.ops.sum(keras.ops.exp(log_p) * (log_p - log_q), axis=-1)
    hard = keras.losses.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)
    return keras.ops.mean(alpha * temperature**2 * soft + (1 - alpha) * hard)


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    teacher_logits = teacher(images, training=False)
    with tf.GradientTape() as tape:
        student_logits = student(images, training=True)
        loss = distillation_loss(student_logits, teacher_logits, labels, temperature, alpha)
    gradients = tape.gradient(loss, student.trainable_variables)
    optimizer.apply_gradients(zip(gradients, student.trainable_variables))
    return loss


def bias_for_share(logits, label, share):
    others = np.delete(logits, label, axis=1).max(axis=1)
    needed = np.sort(others - logits[:, label])
    k = round(share * len(needed))
    bias = float(needed[k - 1] + needed[k]) / 2
    logits[:, label] += bias
    return bias
