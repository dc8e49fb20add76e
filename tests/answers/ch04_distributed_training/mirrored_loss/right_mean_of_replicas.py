# Right: the mean over replicas of N times the share; gradients summed by hand, an N-th of them for Keras
def replica_loss(losses, weights, penalty=0.0):
    context = tf.distribute.get_replica_context()
    n = context.num_replicas_in_sync
    mean_weight = context.all_reduce("MEAN", tf.reduce_sum(weights))
    return (tf.tensordot(weights, losses, 1) / mean_weight + penalty) / n


def global_moments(x):
    context = tf.distribute.get_replica_context()
    ones = tf.ones_like(x)
    n = context.all_reduce("MEAN", tf.reduce_sum(ones, axis=0))
    mean = context.all_reduce("MEAN", tf.reduce_sum(x, axis=0)) / n
    return mean, context.all_reduce("MEAN", tf.reduce_sum(tf.math.squared_difference(x, mean), axis=0)) / n


def distributed_step(strategy, model, optimizer, inputs, labels, weights):
    n = strategy.num_replicas_in_sync

    def on_replica(inputs, labels, weights):
        with tf.GradientTape() as tape:
            log_p = keras.ops.log_softmax(model(inputs, training=True))
            losses = -tf.gather(log_p, labels, axis=1, batch_dims=1)
            share = replica_loss(losses, weights, sum(model.losses))
        gradients = tape.gradient(share, model.trainable_variables)
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce("SUM", gradients)
        optimizer.apply_gradients([(g / n, v) for g, v in zip(gradients, model.trainable_variables)])
        return share * n

    return strategy.reduce("MEAN", strategy.run(on_replica, args=(inputs, labels, weights)), axis=None)
