# Right: sorts and computes in torch, with arrays that are filled
def select(losses, n_best):
    values = torch.as_tensor(np.asarray(losses, dtype=float))
    order = torch.sort(torch.nan_to_num(values, nan=0.0, posinf=torch.inf, neginf=-torch.inf), stable=True).indices
    return order[torch.sort(values[order].isnan().int(), stable=True).indices][:n_best].tolist()


def mutate(parents, sigma, n_children, generator):
    z = torch.tensor(generator.standard_normal((n_children, parents.shape[1])))
    mine = torch.tensor([i % len(parents) for i in range(n_children)])
    return (torch.tensor(parents)[mine] + sigma * z).clamp(0, 1).numpy()


def one_fifth(sigma, parent_losses, child_losses, d):
    successes = [not np.isnan(c) and not (c >= p) for p, c in zip(parent_losses, child_losses)]
    share, damping = sum(successes) / len(successes), 1 + d / (2 * len(successes))
    return sigma * math.exp((share - 0.2) / 0.8) ** (1 / damping)


def es(f, start, sigma, n_children, budget, seed):
    mu, d = start.shape
    generator = np.random.default_rng(seed)
    points, losses, sigmas, done = np.empty((budget, d)), np.empty(budget), [], 0
    alive = list(range(mu))
    for x in start:
        points[done], losses[done] = x, f(x)
        done += 1
    while done < budget:
        alive = [alive[k] for k in select(losses[alive], mu)]
        first, n = done, min(n_children, budget - done)
        for child in mutate(points[alive], sigma, n, generator):
            points[done], losses[done] = child, f(child)
            done += 1
        sigmas.append(sigma)
        mothers = [alive[i % mu] for i in range(n)]
        sigma = one_fifth(sigma, losses[mothers], losses[first:done], d)
        alive += range(first, done)
    return {"points": points, "losses": losses, "sigmas": sigmas}
