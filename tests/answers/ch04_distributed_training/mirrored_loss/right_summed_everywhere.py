# Right: each replica holds the whole loss, divided by their number; the penalty on replica 0; moments by merging
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    both = tf.stack([tf.reduce_sum(weights * losses), tf.reduce_sum(weights)])
    both = context.all_reduce(tf.distribute.ReduceOp.SUM, both)
    first = tf.cast(context.replica_id_in_sync_group == 0, tf.float32)
    return both[0] / both[1] / context.num_replicas_in_sync + penalty * first


def global_moments(x):
    """Chan's formula: spread within the replicas, and between them."""
    context = tf.distribute.get_replica_context()
    n = tf.cast(tf.shape(x)[0], x.dtype)
    own = tf.math.divide_no_nan(tf.reduce_sum(x, axis=0), n)
    within = tf.reduce_sum(tf.square(x - own), axis=0)
    total = context.all_reduce("SUM", n)
    mean = context.all_reduce("SUM", n * own) / total
    return mean, context.all_reduce("SUM", within + n * tf.square(own - mean)) / total


def distributed_step(strategy, model, optimizer, inputs, labels, weights):
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")

    def forward_and_backward(inputs, labels, weights):
        with tf.GradientTape() as tape:
            losses = cross_entropy(labels, model(inputs, training=True))
            share = replica_loss(losses, weights, tf.add_n(model.losses) if model.losses else 0.0)
        optimizer.apply(tape.gradient(share, model.trainable_variables), model.trainable_variables)
        return share

    shares = strategy.run(forward_and_backward, (inputs, labels, weights))
    return tf.add_n(strategy.experimental_local_results(shares))
