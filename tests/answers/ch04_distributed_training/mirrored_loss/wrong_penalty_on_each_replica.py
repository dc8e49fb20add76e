# Wrong: the penalty counts once for each replica
# Fails: loss_of_two_replicas, shares_of_any_split, training_is_that_of_one_device
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", tf.reduce_sum(weights))
    return tf.reduce_sum(weights * losses) / total + penalty


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
            share = replica_loss(losses, weights, sum(model.losses))
        gradients = tape.gradient(share, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return share

    shares = strategy.run(on_replica, args=(inputs, labels, weights))
    return strategy.reduce("SUM", shares, axis=None)
