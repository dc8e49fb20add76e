# Right: cross-entropy losses of Keras with soft targets from logits, the entropy taken away, masked maximum and partition
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    T = temperature
    targets = keras.ops.softmax(teacher_logits / T)
    of_student = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, student_logits / T)
    of_teacher = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, teacher_logits / T)
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, student_logits)
    return alpha * T**2 * (of_student - of_teacher) + (1 - alpha) * hard


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    teacher_logits = teacher(images, training=False)
    with tf.GradientTape() as tape:
        student_logits = student(images, training=True)
        loss = distillation_loss(student_logits, teacher_logits, labels, temperature, alpha)
    gradients = tape.gradient(loss, student.trainable_variables)
    optimizer.apply_gradients(zip(gradients, student.trainable_variables))
    return loss


def bias_for_share(logits, label, share):
    covered = logits.copy()
    covered[:, label] = -np.inf
    needed = covered.max(1) - logits[:, label]
    k = int(round(share * len(logits)))
    parted = np.partition(needed, [k - 1, k])
    return parted[k - 1 : k + 1].mean()
