# Wrong: drops the classes to which the teacher gives less than 1e-7
# Fails: exact_for_large_logits
def distillation_loss(student_logits, teacher_logits, labels, temperature: float, alpha: float):
    ops = keras.ops
    student, teacher = ops.convert_to_tensor(student_logits), ops.convert_to_tensor(teacher_logits)
    log_p = ops.log_softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(student / temperature, axis=-1)
    soft = ops.mean(ops.sum(ops.where(ops.exp(log_p) > 1e-7, ops.exp(log_p) * (log_p - log_q), 0.0), axis=-1))
    labels = ops.cast(ops.convert_to_tensor(labels), "int32")
    hard = -ops.mean(ops.take_along_axis(ops.log_softmax(student, axis=-1), labels[:, None], axis=1))
    return alpha * temperature**2 * soft + (1 - alpha) * hard


def distill_step(student, teacher, optimizer, images, labels, temperature: float, alpha: float):
    teacher_logits = teacher(images, training=False)
    with tf.GradientTape() as tape:
        loss = distillation_loss(student(images, training=True), teacher_logits, labels, temperature, alpha)
    variables = student.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables))
    return loss


def bias_for_share(logits: np.ndarray, label: int, share: float) -> float:
    logits = np.asarray(logits, dtype=np.float64)
    others = np.delete(logits, label, axis=1).max(axis=1)
    missing = np.sort(others - logits[:, label])
    k = round(share * len(logits))
    return float((missing[k - 1] + missing[k]) / 2)
