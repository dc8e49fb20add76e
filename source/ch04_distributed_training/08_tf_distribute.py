# %% [markdown]
# ## 4.8 One loss over all replicas
#
# Five rows, batches of four, one epoch of Keras' `fit`: once on one device, once on two. **Predict first:** is the second step, on one row, the same?
#
# A **replica** is a copy of the model on one device. In `tf.distribute.MirroredStrategy`, one program holds all replicas. Each gets some rows of the global batch and computes a gradient; the gradients
# are summed, and every replica makes the same update ([guide](https://www.tensorflow.org/guide/distributed_training)).

# %% nbgrader={"grade": false, "grade_id": "setup_mirrored_loss", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras
    import tensorflow as tf

    # One processor stands for three devices. TensorFlow has to know before it does anything.
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 3)
    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
tf.get_logger().setLevel("ERROR")


def replicas(n: int) -> tf.distribute.Strategy:
    """A strategy with n replicas, from 1 to 3, each on a device of its own.

    Its all-reduce adds on one device and copies the sum. (The default is a ring of TensorFlow's collective
    operations. In one process, those of two strategies get in each other's way, and an error in one stops them all.)
    """
    return tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(n)], tf.distribute.ReductionToOneDevice())


def spread(strategy: tf.distribute.Strategy, parts: list) -> tf.distribute.DistributedValues:
    """One value that is `parts[i]` on replica i."""
    return strategy.experimental_distribute_values_from_function(lambda context: tf.constant(parts[context.replica_id_in_sync_group]))


# %% tags=["demo"]
def compare_fit() -> None:
    generator = np.random.default_rng(0)
    rows, targets = generator.normal(size=(5, 3)).astype("float32"), generator.normal(size=(5, 1)).astype("float32")
    steps = []
    for n in (1, 2):
        weights = [np.zeros((3, 1), "float32")]
        with replicas(n).scope():
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
            model.compile(keras.optimizers.SGD(0.1), "mse")
        model.set_weights(weights)
        keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, model=model, weights=weights: weights.append(model.get_weights()[0]))
        model.fit(rows, targets, batch_size=4, shuffle=False, verbose=0, callbacks=[keep])
        steps.append(np.diff(weights, axis=0))
    for batch, (alone, mirrored) in enumerate(zip(*steps, strict=True)):
        print(f"batch {batch + 1}: on two replicas the weights moved {np.linalg.norm(mirrored) / np.linalg.norm(alone):.2f} times as far as on one")


compare_fit()

# %% [markdown]
# The second batch counts half. One replica got the row, the other none. Keras takes the mean of a replica's own rows, and divides it by the number of replicas:
#
# | rows on the replicas | a row should count | mean of each, summed | mean of each, divided by $N = 2$ |
# |---|---|---|---|
# | 2 and 2 | 1/4 | 1/2 | 1/4 |
# | 3 and 1 | 1/4 | 1/3 and 1 | 1/6 and 1/2 |
# | 1 and 0 | 1 | 1 | 1/2 |
#
# A test with full batches never sees it. With rows $i$ of weight $w_i$ (0 for padding), one device would compute
#
# $$L = \frac{\sum_i w_i \ell_i}{\sum_i w_i} + R ,$$
#
# both sums over the rows of **all** replicas, $R$ the penalty of regularisation. Gradients are summed over replicas, so each holds a *share* of $L$: what its own rows add to the upper sum, over the *global* lower sum. $R$ is the
# same everywhere and must count once.
#
# **Statistics of the batch** have the same trap. By default, batch norm on a replica uses the replica's own rows; with `synchronized=True`, all rows. The mean of the replicas' variances leaves out the spread *between*
# replicas. And $E[x^2] - E[x]^2$, which needs one all-reduce less than deviations from the mean, loses its digits: with mean 1000 and deviation 1, it subtracts two numbers near $10^6$, where `float32` numbers are 0.06 apart.
#
# ### Exercise 4.8 · The loss, the statistics and the step
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **10 points** · Keras 3 on TensorFlow
#
# **Write** three functions. The first two run inside `strategy.run(function, args=...)`, which calls a function on each replica, with its own part of the arguments. There, `tf.distribute.get_replica_context()` knows
# `num_replicas_in_sync`, and its `all_reduce("SUM", x)` gives every replica the sum; all must call it. Outside, `strategy.reduce("SUM", values, axis=None)` sums what the replicas returned.
#
# <details><summary>Hint 1: which sums are global?</summary>
#
# The loss needs one all-reduce: of the weights' sum. The moments need three: rows, sum, squared deviations. A replica without a row adds 0 to each: sum first, then divide.
# </details>
#
# <details><summary>Hint 2: who sums the gradients?</summary>
#
# `optimizer.apply_gradients`, called on each replica, does, before it updates.
# </details>

# %% nbgrader={"grade": false, "grade_id": "mirrored_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def replica_loss(losses, weights, penalty=0.0):
    """This replica's share of the loss of the global batch.

    All replicas call it at the same time, in `strategy.run`, each with its own rows. The sum of
    their shares is sum(weights · losses) / sum(weights) + penalty, where both sums run over the
    rows of all replicas. Differentiated, the sum of the shares gives the gradient of that formula.

    Args:
        losses: (b,) float32 tensor, one loss a row. b differs between replicas, and may be 0.
        weights: (b,) float32 tensor, not negative; constants. Their sum over all replicas is above 0.
        penalty: what regularisation adds to the loss, a float32 scalar tensor or a number. It is computed
            from the weights of the model, so it is the same on each replica.

    Returns:
        A float32 scalar tensor.

    >>> strategy = replicas(2)  # rows with losses 6, 6 | 3: the shares are 4 and 1, and their sum is the mean
    >>> losses, weights = spread(strategy, [[6.0, 6.0], [3.0]]), spread(strategy, [[1.0, 1.0], [1.0]])
    >>> [float(share) for share in strategy.experimental_local_results(strategy.run(replica_loss, args=(losses, weights)))]
    [4.0, 1.0]
    """
    ### BEGIN SOLUTION
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", tf.reduce_sum(weights))
    return tf.reduce_sum(weights * losses) / total + penalty / context.num_replicas_in_sync
    ### END SOLUTION


def global_moments(x):
    """Mean and variance of each column, over the rows of all replicas: what a synchronised batch norm needs.

    All replicas call it at the same time, in `strategy.run`, each with its own rows.

    Args:
        x: (b, d) float32 tensor. b differs between replicas and may be 0, but not on all of them.
            A column's mean may be a thousand times its standard deviation.

    Returns:
        (mean, variance), (d,) float32 tensors, the same on each replica. The variance is the mean
        of the squared deviations from the global mean. (Within 1 % of it, also for such columns.)
        Gradients pass through both: if each replica computes a loss from them, the sum of these losses has,
        with respect to each row, the gradient that it would have on one device with all rows.

    >>> strategy = replicas(2)  # the rows 1, 2 | 6: the variance is 14/3
    >>> mean, variance = strategy.run(global_moments, args=(spread(strategy, [[[1.0], [2.0]], [[6.0]]]),))
    >>> [[round(float(part[0]), 3) for part in strategy.experimental_local_results(value)] for value in (mean, variance)]
    [[3.0, 3.0], [4.667, 4.667]]
    """
    ### BEGIN SOLUTION
    context = tf.distribute.get_replica_context()
    n = context.all_reduce("SUM", tf.cast(tf.shape(x)[0], x.dtype))
    mean = context.all_reduce("SUM", tf.reduce_sum(x, axis=0)) / n
    variance = context.all_reduce("SUM", tf.reduce_sum((x - mean) ** 2, axis=0)) / n
    return mean, variance
    ### END SOLUTION


def distributed_step(strategy, model, optimizer, inputs, labels, weights):
    """One training step on a batch that is spread over the replicas.

    The loss is the weighted mean of the rows' cross-entropies, over the rows of all replicas, plus
    the penalties of the model (the sum of `model.losses`). Weights of the model and state of the
    optimizer become what one device with the whole batch would make of them, and stay equal on
    all replicas.

    Args:
        strategy: of any number of replicas; this function is called outside `strategy.run`.
        model: from inputs to (b, C) logits, built in the scope of the strategy. It is called once on each
            replica, in training mode. It has no layers that draw random numbers or use statistics of the batch.
        optimizer: of Keras, made in that scope, without gradient clipping; never used before, or used in earlier steps
            with this model.
        inputs, labels, weights: distributed values. Each replica has (b, ...) float32 inputs, (b,)
            integer labels and (b,) float32 weights; b differs between replicas and may be 0. The
            sum of all weights is above 0.

    Returns:
        The loss of the whole batch before the step, a float32 scalar tensor.

    >>> loss = distributed_step(strategy, model, optimizer, inputs, labels, weights)
    """
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_mirrored_loss", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def on_replicas(n, function, *arguments):
    """What function returns on each of n replicas: NumPy arrays, in a list for each replica. An argument has one part for each replica."""
    strategy = replicas(n)
    found = strategy.run(function, args=tuple(spread(strategy, parts) for parts in arguments))
    parts = [strategy.experimental_local_results(value) for value in (found if isinstance(found, (tuple, list)) else [found])]
    return [[None if value is None else np.asarray(value) for value in values] for values in zip(*parts, strict=True)]


def loss_and_slopes(losses, weights, penalty):
    """On a replica: its share, and what the tape says of it."""
    with tf.GradientTape() as tape:
        tape.watch([losses, penalty])
        share = replica_loss(losses, weights, penalty)
    return share, *tape.gradient(share, [losses, penalty], unconnected_gradients="zero")


@check(points=1, hint="Divide what the replica's own rows sum to by the sum of the weights of all replicas; context.all_reduce(\"SUM\", ...) gives it. The penalty is on each replica, but it may count only once.")
def loss_of_two_replicas():
    """The shares of two replicas with three rows and one row sum to the loss of all four, penalty included."""
    losses, weights, penalty = [[6.0, 5.0, 9.0], [4.0]], [[1.0, 3.0, 0.0], [1.0]], 3.0
    shares = probe(lambda: [part[0] for part in on_replicas(2, loss_and_slopes, losses, weights, [penalty, penalty])])
    assert shares[0] is not None, "replica_loss returns None: is the return missing?"
    assert all(np.size(share) == 1 for share in shares), f"a scalar is asked for, a result of shape {np.shape(shares[0])} came back"
    total, truth = float(sum(float(np.reshape(share, ())) for share in shares)), (6 + 15 + 4) / 5 + penalty
    assert abs(total - truth) < 1e-4, f"losses 6, 5, 9 | 4, weights 1, 3, 0 | 1, penalty 3: the shares {', '.join(f'{float(np.reshape(share, ())):.3g}' for share in shares)} sum to {total:.4g} instead of {truth:g}"


@check(points=1, hint="Sum the rows and count them on each replica, and let all_reduce sum both. The deviations are taken from the global mean.")
def moments_of_two_replicas():
    """global_moments of the rows 1, 2 | 6 is mean 3 and variance 14/3, on both replicas."""
    found = probe(lambda: on_replicas(2, global_moments, [[[1.0], [2.0]], [[6.0]]]))
    for mean, variance in found:
        assert mean is not None, "global_moments returns None: is the return missing?"
        assert np.shape(mean) == np.shape(variance) == (1,), f"both results have one entry a column, (1,); they have shapes {np.shape(mean)} and {np.shape(variance)}"
        assert abs(mean[0] - 3) < 1e-5, f"the rows 1, 2 | 6 have mean 3, not {mean[0]:.4g}"
        assert abs(variance[0] - 14 / 3) < 1e-4, f"the rows 1, 2 | 6 have variance {14 / 3:.4g}, not {variance[0]:.4g}"


def train(n, steps, make_layers, make_optimizer):
    """The losses that distributed_step reports, the weights of the model on each replica, and how often it was called.

    A step is three lists, of inputs, labels and weights, with a part for each replica.
    """
    strategy = replicas(n)
    calls = []

    class Entrance(keras.layers.Layer):
        def call(self, x, training=None):
            calls.append(training)
            return x

    with strategy.scope():
        width = np.shape(steps[0][0][0])[1]
        model = keras.Sequential([keras.Input((width,)), Entrance(), *make_layers()])
        optimizer = make_optimizer()
    for i, weight in enumerate(model.trainable_variables):
        weight.assign(np.cos(np.arange(np.size(weight)) * (i + 1)).reshape(weight.shape))
    calls.clear()
    losses = [distributed_step(strategy, model, optimizer, *(spread(strategy, parts) for parts in batch)) for batch in steps]
    losses = [None if loss is None else np.asarray(loss) for loss in losses]
    weights = [[np.asarray(part) for part in strategy.experimental_local_results(weight.value)] for weight in model.trainable_variables]
    return losses, weights, calls


@check(points=1, hint="strategy.run(function, args=...) with the forward pass, replica_loss, the gradients and apply_gradients inside. Keras sums the gradients of the replicas by itself. The shares are summed, too.")
def step_of_two_replicas():
    """One step of distributed_step on rows 2 | 1 reports their loss, and moves the weights as one device would."""
    inputs, labels, weights = [[[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0]]], [[0, 1], [1]], [[1.0, 1.0], [1.0]]
    run = lambda: train(2, [(inputs, labels, weights)], lambda: [keras.layers.Dense(2, use_bias=False)], lambda: keras.optimizers.SGD(1.0))
    (loss,), (kernels,), _ = probe(run)
    assert loss is not None, "distributed_step returns None: is the return missing?"
    assert np.size(loss) == 1, f"the loss is a scalar; a result of shape {np.shape(loss)} came back"
    start = torch.tensor(np.cos(np.arange(4.0)).reshape(2, 2), requires_grad=True)
    truth = F.cross_entropy(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]).double() @ start, torch.tensor([0, 1, 1]))
    truth.backward()
    assert abs(float(np.reshape(loss, ())) - truth.item()) < 1e-4, f"the loss of the three rows is {truth.item():.4f}, not {float(np.reshape(loss, ())):.4f}"
    moved, step = [kernel - start.detach().numpy() for kernel in kernels], -start.grad.numpy()
    assert np.allclose(moved[0], moved[1]), f"the replicas' weights differ by up to {np.abs(moved[0] - moved[1]).max():.3g} after the step"
    ratio = (moved[0] * step).sum() / (step**2).sum()
    assert np.allclose(moved[0], step, atol=1e-4), f"the weights moved {ratio:.3g} times as far in the gradient's direction as with one device" if abs(ratio - 1) > 1e-3 else f"the weights moved in a different direction than with one device: by {moved[0].round(3).tolist()} instead of {step.round(3).tolist()}"


### BEGIN HIDDEN TESTS
SPLITS = [[4, 4], [3, 1], [1, 0], [0, 3], [2, 3, 1], [0, 1, 0], [4]]


def parts(rows, split):
    """The rows, cut for the replicas."""
    return np.split(rows, np.cumsum(split)[:-1])


def draw(split, *shape):
    return np.random.normal(size=(sum(split), *shape)).astype("float32")


def name_of(split):
    return "rows " + " | ".join(map(str, split))


@check(points=2, hint="The rows of all replicas share one denominator: the sum of all weights. That includes replicas without a row, and a single replica.")
def shares_of_any_split():
    """For one, two and three replicas with any numbers of rows, none included, the shares sum to the loss, and so do their gradients."""
    cases = []
    for split in SPLITS:
        losses, weights = draw(split) ** 2 * 3, np.random.randint(0, 4, sum(split)).astype("float32")
        weights[np.random.randint(sum(split))] = 1.5
        cases.append((split, losses, weights, float(np.random.uniform(1, 2))))

    def run(cases):
        return [on_replicas(len(split), loss_and_slopes, parts(losses, split), parts(weights, split), [np.float32(penalty)] * len(split)) for split, losses, weights, penalty in cases]

    run_all = probe(run, [(split, losses, weights, penalty) for split, losses, weights, penalty in cases])
    for (split, losses, weights, penalty), found in zip(cases, run_all, strict=True):
        if any(share is None or np.size(share) != 1 for share, *_ in found):
            fail("A scalar is asked for.")
        total = sum(float(np.reshape(share, ())) for share, *_ in found)
        truth = np.average(np.float64(losses), weights=weights) + penalty
        if not abs(total - truth) < 1e-4:
            fail(f"The shares do not sum to the loss, with {name_of(split)}.")
        slopes = np.concatenate([slope for _, slope, _ in found])
        if not np.allclose(slopes, weights / weights.sum(), atol=1e-5):
            fail(f"The gradient with respect to the losses is wrong, with {name_of(split)}.")
        if not abs(sum(float(slope) for *_, slope in found) - 1) < 1e-5:
            fail(f"The gradient with respect to the penalty is wrong, with {name_of(split)}.")


@check(points=1.5, hint="Sum, count and squared deviations of all replicas, each divided once. E[x²] - E[x]² loses all digits where the mean is large: let the deviations from the global mean be summed.")
def moments_of_any_split():
    """Mean and variance are those of all rows, for any numbers of rows, also for columns far from zero."""
    cases = []
    for split in SPLITS:
        for far in (0, 1000):
            cases.append((split, draw(split, 5) * np.array([1, 2, 0.5, 1, 3]) + far * np.array([1, -2, 0.5, 1, 0])))
    cases = [(split, np.float32(rows)) for split, rows in cases]

    def run(cases):
        return [on_replicas(len(split), global_moments, parts(rows, split)) for split, rows in cases]

    for (split, rows), found in zip(cases, probe(run, cases), strict=True):
        exact = np.float64(rows)
        where = f"with {name_of(split)}" + (", far from zero" if abs(exact).max() > 100 else "")
        for mean, variance in found:
            if np.shape(mean) != (5,) or np.shape(variance) != (5,):
                fail("The results do not have one entry a column.")
            if not np.allclose(mean, exact.mean(0), rtol=1e-5, atol=1e-5):
                fail(f"The mean is wrong {where}.")
            if not np.allclose(variance, exact.var(0), rtol=1e-2, atol=1e-5):
                fail(f"The variance is wrong {where}.")


@check(points=1.5, hint="context.all_reduce knows its own gradient. Nothing may be cut off: no stop_gradient, no NumPy.")
def moments_pass_gradients_on():
    """Through global_moments, each row gets the gradient that it has on one device with all rows."""
    cases = [(split, draw(split, 3), draw([len(split)], 3), draw([len(split)], 3)) for split in SPLITS if split[0]]

    def run(cases):
        def slopes(x, a, b):
            with tf.GradientTape() as tape:
                tape.watch(x)
                mean, variance = global_moments(x)
                number = tf.reduce_sum(a * mean) + tf.reduce_sum(b * variance)
            return (tape.gradient(number, x),)

        return [on_replicas(len(split), slopes, parts(rows, split), list(a), list(b)) for split, rows, a, b in cases]

    for (split, rows, a, b), found in zip(cases, probe(run, cases), strict=True):
        truth = (a.sum(0) + b.sum(0) * 2 * (np.float64(rows) - np.float64(rows).mean(0))) / sum(split)
        if any(slope is None for (slope,) in found):
            fail("The results do not depend on x as the tape sees it.")
        if not np.allclose(np.concatenate([slope for (slope,) in found]), truth, atol=1e-4):
            fail(f"The gradient is wrong with {name_of(split)}.")


def one_device(steps, depth, decay, make_optimizer):
    """Losses and weights by torch, in 64 bits, with all rows of a step at once."""
    double = lambda value: torch.tensor(np.concatenate(value)).double()
    width = np.shape(steps[0][0][0])[1]
    shapes = [(width, 4), (4,), (4, 3), (3,)] if depth == 2 else [(width, 3), (3,)]
    weights = [torch.tensor(np.cos(np.arange(math.prod(shape)) * (i + 1.0)).reshape(shape), requires_grad=True) for i, shape in enumerate(shapes)]
    optimizer = make_optimizer(weights)
    losses = []
    for inputs, labels, row_weights in steps:
        x = double(inputs)
        for i in range(0, len(weights), 2):
            x = (torch.tanh(x) if i else x) @ weights[i] + weights[i + 1]
        w = double(row_weights)
        loss = (w * F.cross_entropy(x, torch.tensor(np.concatenate(labels)), reduction="none")).sum() / w.sum() + decay * sum((weight**2).sum() for weight in weights[::2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [weight.detach().numpy() for weight in weights]


def layers_of(depth, decay):
    """Layers for `one_device`'s network."""
    l2 = keras.regularizers.L2(decay) if decay else None
    widths = [4, 3] if depth == 2 else [3]
    return [keras.layers.Dense(width, activation="tanh" if width == 4 else None, kernel_regularizer=l2) for width in widths]


def some_steps(splits):
    """Random batches with these splits."""
    steps = []
    for split in splits:
        weights = np.random.randint(1, 4, sum(split)).astype("float32")
        if sum(split) > 2:
            weights[0] = 0
        steps.append((parts(draw(split, 5), split), parts(np.random.randint(0, 3, sum(split)), split), parts(weights, split)))
    return steps


@check(points=2, hint="The optimizer of Keras sums the gradients of all replicas: do not sum, or average, them once more. The penalties are those of model.losses; there may be none.")
def training_is_that_of_one_device():
    """After steps on batches that split unevenly, losses and weights are those of one device, for three optimizers, with and without penalties."""
    cases = [
        (2, [[4, 4], [3, 1], [1, 0]], 1, 0.0, "SGD"),
        (2, [[2, 1], [1, 2]], 2, 0.05, "momentum"),
        (3, [[2, 3, 1], [0, 1, 1]], 1, 0.1, "SGD"),
        (2, [[2, 2], [1, 0], [3, 2]], 1, 0.02, "Adam"),
        (1, [[3], [2]], 1, 0.1, "SGD"),
    ]
    cases = [(n, splits, some_steps(splits), depth, decay, name) for n, splits, depth, decay, name in cases]
    makers = {
        "SGD": (lambda: keras.optimizers.SGD(0.5), lambda weights: torch.optim.SGD(weights, 0.5)),
        "momentum": (lambda: keras.optimizers.SGD(0.2, momentum=0.9), lambda weights: torch.optim.SGD(weights, 0.2, momentum=0.9)),
        "Adam": (lambda: keras.optimizers.Adam(0.1, epsilon=1e-7), lambda weights: torch.optim.Adam(weights, 0.1, eps=1e-7)),
    }

    def run(cases):
        return [train(n, steps, lambda d=depth, r=decay: layers_of(d, r), makers[name][0]) for n, _, steps, depth, decay, name in cases]

    for (n, splits, steps, depth, decay, name), (losses, weights, calls) in zip(cases, probe(run, cases), strict=True):
        where = f"with {n} {'replica' if n == 1 else 'replicas'}, {'; '.join(map(name_of, splits))}, {name}" + (" and a penalty" if decay else "")
        true_losses, true_weights = one_device(steps, depth, decay, makers[name][1])
        if any(loss is None or np.size(loss) != 1 for loss in losses):
            fail("A scalar is asked for.")
        if any(not np.array_equal(first, other) for first, *others in weights for other in others):
            fail(f"The replicas' weights differ, {where}.")
        if not np.allclose([float(np.reshape(loss, ())) for loss in losses], true_losses, rtol=1e-4, atol=1e-4):
            fail(f"A reported loss is wrong, {where}.")
        if not all(np.allclose(found, truth, atol=1e-3) for (found, *_), truth in zip(weights, true_weights, strict=True)):
            fail(f"The weights go elsewhere, {where}.")
        if calls != [True] * n * len(splits):
            fail(f"In {len(splits)} steps, the model is called {len(calls)} times in all on {n} replica{'s' if n > 1 else ''}, {sum(call is True for call in calls)} of them in training mode. It should be called once on each replica, in training mode.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Whose rows count?
#
# Each bar is a row of one global batch, and its height is how much its loss counts in the summed gradient, found by a tape. 1 is correct. **Predict:** with three rows on the first replica
# and one on the second, which rows count too much if each replica takes its own mean, divided by two?

# %% tags=["demo", "raises-exception"]
def draw_whose_rows_count(splits=((2, 2), (3, 1), (1, 0))) -> None:
    def own_mean(losses, weights):
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype))

    ways = {
        "own mean": own_mean,
        "own mean / 2": lambda losses, weights: own_mean(losses, weights) / 2,
        "sum / constant 4": lambda losses, weights: tf.reduce_sum(losses) / 4,
        "your replica_loss": replica_loss,
    }
    strategy = replicas(2)

    def slopes(way):
        def on_replica(losses):
            with tf.GradientTape() as tape:
                tape.watch(losses)
                share = way(losses, tf.ones_like(losses))
            return tape.gradient(share, losses)

        return on_replica

    heights = {}
    try:
        for name, way in ways.items():
            for split in splits:
                found = strategy.run(slopes(way), args=(spread(strategy, [np.ones(n, "float32") for n in split]),))
                heights[name, split] = [np.asarray(part) * sum(split) for part in strategy.experimental_local_results(found)]
    except NotImplementedError:
        print("This figure needs your replica_loss. Write it first.")
        return
    _, axes = plt.subplots(1, len(ways), figsize=(9.7, 2.6), sharey=True)
    for ax, name in zip(axes, ways, strict=True):
        place, ticks = 0, []
        for split in splits:
            begin = place
            for colour, part in zip(("C0", "C1"), heights[name, split], strict=True):
                ax.bar(place + np.arange(len(part)), part, 0.8, color=colour)
                place += len(part)
            ticks.append((begin + place - 1) / 2)
            place += 1
        ax.axhline(1, color="0.3", ls="--", lw=1.2)
        ax.set_xticks(ticks, ["{} | {}".format(*split) for split in splits], fontsize=9)
        ax.grid(axis="x", visible=False)
        ax.set(title=name, ylim=(0, 4.6))
    axes[0].set_ylabel("weight of a row")
    axes[-1].legend(handles=[plt.Rectangle((0, 0), 1, 1, color=colour) for colour in ("C0", "C1")], labels=["replica 0", "replica 1"], fontsize=8.5, loc="upper right")
    plt.show()


draw_whose_rows_count()

# %% [markdown]
# On 2 | 2, only the first way is wrong, and for all rows alike: as if the learning rate were doubled. The second is what `fit` did. On 3 | 1 it lets one row
# count twice and the others two thirds: the gradient points elsewhere. The constant is right until a batch is not full. Yours is 1 everywhere.
#
# The last batch of an epoch hardly matters. But with padded sequences, the number of valid tokens on a replica varies in *every* batch. Hence the weights.
#
# **Change, predict, run.** `draw_whose_rows_count(((4, 2), (3, 3), (2, 0)))`: where are the bars of "own mean / 2" at 1, and how high are those on 4 | 2?
#
# <details><summary>Answer</summary>
#
# At 1 for 3 | 3 only. On 4 | 2, each row of the first replica counts $6 / (2 \cdot 4) = 0.75$, each of the second $6 / (2 \cdot 2) = 1.5$. On 2 | 0 both count half.
# </details>
