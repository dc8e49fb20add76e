# Right: TensorFlow functions throughout, cross-entropy minus entropy for the KL divergence, quantile for the bias
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    v, z = (tf.convert_to_tensor(logits, tf.float32) for logits in (student_logits, teacher_logits))
    p = tf.nn.softmax(z / temperature)
    cross = tf.nn.softmax_cross_entropy_with_logits(p, v / temperature)
    entropy = tf.nn.softmax_cross_entropy_with_logits(p, z / temperature)
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), v)
    return alpha * temperature**2 * tf.reduce_mean(cross - entropy) + (1 - alpha) * tf.reduce_mean(hard)


def distill_step(student, teacher, optimizer, images, labels, temperature, alpha):
    with tf.GradientTape() as tape:
        targets = tf.stop_gradient(teacher(images))
        loss = distillation_loss(student(images, training=True), targets, labels, temperature, alpha)
    optimizer.apply(tape.gradient(loss, student.trainable_weights), student.trainable_weights)
    return loss


def bias_for_share(logits, label, share):
    rest = [column for column in range(logits.shape[1]) if column != label]
    return np.quantile(logits[:, rest].max(1) - logits[:, label], share)
