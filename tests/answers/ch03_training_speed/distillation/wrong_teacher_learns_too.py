# Wrong: the teacher's variables are trained, too
# Fails: step_moves_the_student_only, modes_and_the_teacher
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    log_p = keras.ops.log_softmax(teacher_logits / temperature)
    log_q = keras.ops.log_softmax(student_logits / temperature)
    soft = keras.ops.sum(keras.ops.exp(log_p) * (log_p - log_q), axis=-1)
    hard = keras.losses.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)
    return keras.ops.mean(alpha * temperature**2 * soft + (1 - alpha) * hard)


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    variables = student.trainable_variables + teacher.trainable_variables
    with tf.GradientTape() as tape:
        loss = distillation_loss(student(images, training=True), teacher(images, training=False), labels, temperature, alpha)
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables))
    return loss


def bias_for_share(logits, label, share):
    others = np.delete(logits, label, axis=1).max(axis=1)
    needed = np.sort(others - logits[:, label])
    k = round(share * len(needed))
    return float(needed[k - 1] + needed[k]) / 2
