# Right: torch counts fan-in and fan-out; one group for each tensor; scipy's regression
def mup_table(model, base):
    from torch.nn.init import _calculate_fan_in_and_fan_out as count

    embeddings = {f"{name}.weight".lstrip(".") for name, layer in model.named_modules() if isinstance(layer, nn.Embedding)}
    small, table = dict(base.named_parameters()), {}
    for name, tensor in model.named_parameters():
        if tensor.dim() < 2:
            table[name] = 1.0, 1.0
            continue
        (fan_in, fan_out), (old_in, old_out) = count(tensor), count(small[name])
        if name in embeddings:
            fan_in, fan_out, old_in, old_out = fan_out, fan_in, old_out, old_in
        rate = old_in / fan_in
        kind = "input" if rate == 1 else "output" if fan_out == old_out else "hidden"
        table[name] = {"input": (1.0, 1.0), "hidden": (rate**0.5, rate), "output": (rate, rate)}[kind]
    return table


@torch.no_grad()
def apply_mup(model, base, table, lr):
    size = lambda x: x.norm() / x.numel() ** 0.5
    groups = []
    for (name, tensor), (_, old) in zip(model.named_parameters(), base.named_parameters(), strict=True):
        if tensor.dim() > 1:
            tensor.copy_(tensor / size(tensor) * size(old) * table[name][0])
        groups.append(dict(params=[tensor], lr=table[name][1] * lr))
    return groups


def coordinate_slopes(widths, changes):
    from scipy import stats

    result = {}
    for layer, rows in changes.items():
        slopes = [stats.linregress(np.log10(widths), np.log10(row))[0] for row in rows]
        result[layer] = (sum(slopes) / len(slopes), stats.sem(slopes))
    return result


def transfer_penalty(narrow, wide):
    small = np.nan_to_num(narrow, nan=np.inf, posinf=np.inf).mean(0)
    large = np.nan_to_num(wide, nan=np.inf, posinf=np.inf).mean(0)
    order = np.argsort(small, kind="stable")
    return (large - large.min())[order[0]]
