# Right: compute_average_loss and scale_regularization_loss of tf.nn; tf.nn.moments about a common shift
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", tf.reduce_sum(weights))
    share = tf.nn.compute_average_loss(losses, sample_weight=weights, global_batch_size=1) / total
    return share + tf.nn.scale_regularization_loss(penalty)


def global_moments(x):
    context = tf.distribute.get_replica_context()
    n = context.all_reduce("SUM", tf.cast(tf.shape(x)[:1], x.dtype))[0]
    shift = tf.stop_gradient(context.all_reduce("SUM", tf.reduce_sum(x, axis=0)) / n)
    x = x - shift
    mean, square = context.all_reduce("SUM", [tf.reduce_sum(x, axis=0), tf.reduce_sum(x * x, axis=0)])
    return mean / n + shift, square / n - tf.square(mean / n)


def distributed_step(strategy, model, optimizer, inputs, labels, weights):
    def on_replica(parts):
        inputs, labels, weights = parts
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=True))
            penalty = sum(model.losses) if model.losses else 0.0
            share = replica_loss(losses, weights, penalty)
        optimizer.apply_gradients(list(zip(tape.gradient(share, variables), variables)))
        return share

    with strategy.scope():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(on_replica, args=((inputs, labels, weights),)), axis=None)
