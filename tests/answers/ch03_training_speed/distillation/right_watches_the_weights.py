# Right: TensorFlow alone; the tape watches only what it should; the number lies nearer to one of its two rows
def distillation_loss(student_logits, teacher_logits, labels, temperature: float, alpha: float):
    v, z = tf.convert_to_tensor(student_logits), tf.convert_to_tensor(teacher_logits)
    p = tf.nn.softmax(z / temperature)
    gap = tf.nn.log_softmax(z / temperature) - tf.nn.log_softmax(v / temperature)
    soft = tf.reduce_mean(tf.einsum("bc,bc->b", p, gap))
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(tf.convert_to_tensor(labels), tf.int64), logits=v)
    return alpha * temperature * temperature * soft + (1 - alpha) * tf.reduce_mean(hard)


def distill_step(student, teacher, optimizer, images, labels, temperature: float, alpha: float):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for variable in student.trainable_variables:
            tape.watch(variable.value)
        targets = tf.stop_gradient(teacher(images, training=False))
        loss = distillation_loss(student(images, training=True), targets, labels, temperature, alpha)
    optimizer.apply(tape.gradient(loss, [v.value for v in student.trainable_variables]), student.trainable_variables)
    return loss


def bias_for_share(logits: np.ndarray, label: int, share: float) -> float:
    z = logits.astype(np.float64)
    own = z[:, label].copy()
    z[:, label] = -np.inf
    need, k = z.max(1) - own, int(round(share * len(z)))
    both = np.partition(need, [k - 1, k])[[k - 1, k]]
    return 0.7 * both[0] + 0.3 * both[1]
