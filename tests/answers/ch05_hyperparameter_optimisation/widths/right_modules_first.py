# Right: goes through the layers; groups by rate; polyfit; plain Python for the penalty
def mup_table(model, base):
    table = {}
    others = dict(base.named_modules())
    for prefix, layer in model.named_modules():
        for name, tensor in layer._parameters.items():
            if tensor is None:
                continue
            key = f"{prefix}.{name}" if prefix else name
            new, old = tensor.shape, others[prefix]._parameters[name].shape
            if len(new) == 1 or (isinstance(layer, nn.Embedding) and new[0] == old[0]):
                table[key] = (1.0, 1.0)
                continue
            assert isinstance(layer, nn.Linear)
            grows_in, grows_out = new[1] > old[1], new[0] > old[0]
            r = new[1] / old[1]
            if not grows_in:
                table[key] = (1, 1)
            elif grows_out:
                table[key] = (math.sqrt(1 / r), 1 / r)
            else:
                table[key] = (old[1] / new[1], old[1] / new[1])
    return table


def apply_mup(model, base, table, lr):
    groups = {}
    for name, tensor in model.named_parameters():
        rate = lr * table[name][1]
        groups.setdefault(rate, {"params": [], "lr": rate})["params"].append(tensor)
        if tensor.ndim >= 2:
            wanted = table[name][0] * base.get_parameter(name).detach().pow(2).mean() ** 0.5
            tensor.data = tensor.data * (wanted / tensor.data.pow(2).mean() ** 0.5)
    return list(groups.values())


def coordinate_slopes(widths, changes):
    result = {}
    for layer in changes:
        slopes = np.polyfit(np.log2(widths), np.log2(changes[layer]).T, 1)[0]
        result[layer] = (slopes.mean(), (slopes.var(ddof=1) / slopes.size) ** 0.5)
    return result


def transfer_penalty(narrow, wide):
    def mean(column):
        return sum(column) / len(column) if np.isfinite(column).all() else float("inf")

    small = [mean(column) for column in narrow.T]
    large = [mean(column) for column in wide.T]
    best = min(range(len(small)), key=small.__getitem__)
    return large[best] - min(large)
