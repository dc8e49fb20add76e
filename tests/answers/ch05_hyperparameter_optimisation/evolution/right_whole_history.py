# Right: chooses the parents among all points measured so far, with Python's sort
import math


def select(losses, n_best):
    return sorted(range(len(losses)), key=lambda i: (math.isnan(losses[i]), losses[i] if losses[i] == losses[i] else 0.0))[:n_best]


def mutate(parents, sigma, n_children, generator):
    children = []
    for i in range(n_children):
        mother = parents[i % len(parents)]
        children.append([min(max(x + sigma * generator.standard_normal(), 0.0), 1.0) for x in mother])
    return np.array(children)


def one_fifth(sigma, parent_losses, child_losses, d):
    n = len(child_losses)
    successes = 0
    for mother, child in zip(parent_losses, child_losses):
        if not math.isnan(child) and (math.isnan(mother) or child < mother):
            successes += 1
    return sigma * math.exp((successes / n - 1 / 5) / (4 / 5) / (1 + d / (2 * n)))


def es(f, start, sigma, n_children, budget, seed):
    generator = np.random.default_rng(seed)
    points, losses, sigmas = [], [], []
    for x in start:
        points.append(x.copy())
        losses.append(f(points[-1]))
    while len(losses) < budget:
        chosen = select(losses, len(start))
        children = mutate(np.array([points[i] for i in chosen]), sigma, min(n_children, budget - len(losses)), generator)
        before = [losses[chosen[i % len(chosen)]] for i in range(len(children))]
        after = []
        for child in children:
            after.append(f(child))
            points.append(child)
            losses.append(after[-1])
        sigmas.append(sigma)
        sigma = one_fifth(sigma, before, after, start.shape[1])
    return {"points": np.array(points), "losses": np.array(losses), "sigmas": sigmas}
