# Right: generator.normal around repeated parents, lexsort, and a population in one list
def select(losses, n_best):
    losses = np.asarray(losses, dtype=float)
    return [int(i) for i in np.lexsort((np.arange(len(losses)), np.where(np.isnan(losses), 0, losses), np.isnan(losses)))][:n_best]


def mutate(parents, sigma, n_children, generator):
    repeated = np.vstack([parents] * (n_children // len(parents) + 1))[:n_children]
    return np.minimum(np.maximum(generator.normal(repeated, sigma), 0.0), 1.0)


def one_fifth(sigma, parent_losses, child_losses, d):
    better = (child_losses < parent_losses) | (np.isnan(parent_losses) & ~np.isnan(child_losses))
    lam = len(child_losses)
    return sigma * np.exp(2 * lam / (2 * lam + d) * (better.mean() - 0.2) / 0.8)


def es(f, start, sigma, n_children, budget, seed):
    generator = np.random.default_rng(seed)
    found = [(x, float(f(x))) for x in np.array(start)]
    population, sigmas = list(found), []
    while len(found) < budget:
        losses = np.array([loss for _, loss in population])
        population = [population[i] for i in select(losses, len(start))]
        n = min(n_children, budget - len(found))
        children = [(x, float(f(x))) for x in mutate(np.array([x for x, _ in population]), sigma, n, generator)]
        sigmas.append(float(sigma))
        sigma = one_fifth(sigma, np.array([population[i % len(population)][1] for i in range(n)]), np.array([loss for _, loss in children]), start.shape[1])
        found += children
        population += children
    return {"points": np.stack([x for x, _ in found]), "losses": np.array([loss for _, loss in found]), "sigmas": sigmas}
