# Wrong: means of the replicas' moments: replicas count alike, whatever their rows
# Fails: moments_of_two_replicas, moments_of_any_split, moments_pass_gradients_on
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", tf.reduce_sum(weights))
    return tf.reduce_sum(weights * losses) / total + penalty / context.num_replicas_in_sync


def global_moments(x):
    context = tf.distribute.get_replica_context()
    mean, square = tf.reduce_mean(x, axis=0), tf.reduce_mean(x * x, axis=0)
    mean, square = context.all_reduce("MEAN", [mean, square])
    return mean, square - mean**2


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
