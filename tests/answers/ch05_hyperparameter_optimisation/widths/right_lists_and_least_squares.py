# Right: least squares with an intercept; one large table of fans; statistics
def _fans(network):
    kinds = {id(layer.weight): layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Embedding))}
    found = {}
    for name, tensor in network.named_parameters():
        layer = kinds.get(id(tensor))
        if isinstance(layer, nn.Linear):
            found[name] = layer.in_features, layer.out_features
        elif layer is not None:
            found[name] = layer.num_embeddings, layer.embedding_dim
        else:
            found[name] = 1, tensor.numel()
    return found


def mup_table(model, base):
    new, old = _fans(model), _fans(base)
    table = {}
    for name in old:
        (wide_in, wide_out), (narrow_in, narrow_out) = new[name], old[name]
        power = 0.0 if wide_in == narrow_in else 0.5 if wide_out != narrow_out else 1.0
        table[name] = [(narrow_in / wide_in) ** power, narrow_in / wide_in]
    return table


def apply_mup(model, base, table, lr):
    parameters = dict(model.named_parameters())
    for name, old in base.named_parameters():
        if old.dim() >= 2:
            with torch.no_grad():
                ratio = (old.double() ** 2).mean().sqrt() / (parameters[name].double() ** 2).mean().sqrt()
                parameters[name] *= float(ratio) * table[name][0]
    rates = sorted({table[name][1] for name in parameters})
    return [{"params": [p for name, p in parameters.items() if table[name][1] == rate], "lr": rate * lr} for rate in rates]


def coordinate_slopes(widths, changes):
    import statistics

    design = np.stack([np.ones(len(widths)), np.log(np.array(widths, dtype=float))], axis=1)
    result = {}
    for layer, rows in changes.items():
        slopes = [float(np.linalg.lstsq(design, np.log(row), rcond=None)[0][1]) for row in rows]
        result[layer] = statistics.fmean(slopes), statistics.stdev(slopes) / len(slopes) ** 0.5
    return result


def transfer_penalty(narrow, wide):
    def means(losses):
        return [float(np.mean(c)) if not np.isnan(c).any() else math.inf for c in np.transpose(losses)]

    small, large = means(narrow), means(wide)
    return large[small.index(min(small))] - min(large)
