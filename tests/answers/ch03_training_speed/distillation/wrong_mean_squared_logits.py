# Wrong: the limit of large T for every T
# Fails: loss_of_a_small_example, agrees_with_torch
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    difference = student_logits - teacher_logits
    difference = difference - keras.ops.mean(difference, axis=-1, keepdims=True)
    soft = keras.ops.mean(difference**2, axis=-1) / 2
    hard = keras.losses.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)
    return keras.ops.mean(alpha * soft + (1 - alpha) * hard)


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
    return float(needed[k - 1] + needed[k]) / 2
