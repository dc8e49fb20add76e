# Wrong: the right number, which the tape cannot follow
# Fails: shares_of_any_split
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", tf.reduce_sum(weights))
    return tf.reduce_sum(weights * tf.stop_gradient(losses)) / total + penalty / context.num_replicas_in_sync


def global_moments(x):
    context = tf.distribute.get_replica_context()
    n = context.all_reduce("SUM", tf.cast(tf.shape(x)[0], x.dtype))
    mean = context.all_reduce("SUM", tf.reduce_sum(x, axis=0)) / n
    variance = context.all_reduce("SUM", tf.reduce_sum((x - mean) ** 2, axis=0)) / n
    return mean, variance


def distributed_step(strategy, model, optimizer, inputs, labels, weights):
    def on_replica(inputs, labels, weights):
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            context = tf.distribute.get_replica_context()
            total = context.all_reduce("SUM", tf.reduce_sum(weights))
            share = tf.reduce_sum(weights * losses) / total + sum(model.losses) / context.num_replicas_in_sync
        gradients = tape.gradient(share, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return share

    shares = strategy.run(on_replica, args=(inputs, labels, weights))
    return strategy.reduce("SUM", shares, axis=None)
