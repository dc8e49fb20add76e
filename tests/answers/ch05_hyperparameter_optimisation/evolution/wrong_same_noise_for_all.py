# Wrong: all children get the same noise
# Fails: children_are_near_their_parents, children_of_any_number, children_of_the_best_so_far
def select(losses, n_best):
    return np.argsort(losses, kind="stable")[:n_best].tolist()


def mutate(parents, sigma, n_children, generator):
    noise = generator.standard_normal(parents.shape[1])
    return np.clip(parents[np.arange(n_children) % len(parents)] + sigma * noise, 0, 1)


def one_fifth(sigma, parent_losses, child_losses, d):
    before, after = np.nan_to_num(parent_losses, nan=np.inf, posinf=np.inf), np.nan_to_num(child_losses, nan=np.inf, posinf=np.inf)
    share = np.mean(after < before)
    return float(sigma * np.exp((share - 0.2) / 0.8 / (1 + d / (2 * len(child_losses)))))


def es(f, start, sigma, n_children, budget, seed):
    generator = np.random.default_rng(seed)
    points, losses, sigmas = list(start), [f(x) for x in start], []
    parents, parent_losses = start, np.array(losses)
    while len(losses) < budget:
        best = select(parent_losses, len(start))
        parents, parent_losses = parents[best], parent_losses[best]
        children = mutate(parents, sigma, min(n_children, budget - len(losses)), generator)
        child_losses = np.array([f(x) for x in children])
        points += list(children)
        losses += child_losses.tolist()
        sigmas.append(sigma)
        own_parent = np.arange(len(children)) % len(parents)
        sigma = one_fifth(sigma, parent_losses[own_parent], child_losses, start.shape[1])
        parents, parent_losses = np.vstack([parents, children]), np.concatenate([parent_losses, child_losses])
    return {"points": np.array(points), "losses": np.array(losses), "sigmas": sigmas}
