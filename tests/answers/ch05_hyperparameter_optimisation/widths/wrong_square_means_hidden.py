# Wrong: a matrix is hidden if it is square, and an output otherwise
# Fails: hidden_matrices_are_right
def mup_table(model, base):
    def fans(network):
        found = {}
        for prefix, layer in network.named_modules():
            for name, tensor in layer.named_parameters(prefix=prefix, recurse=False):
                if tensor.dim() == 1:
                    found[name] = 1, len(tensor)
                else:
                    found[name] = tuple(tensor.shape) if isinstance(layer, nn.Embedding) else tuple(tensor.shape[::-1])
        return found

    table, narrow = {}, fans(base)
    for name, (fan_in, fan_out) in fans(model).items():
        r = fan_in / narrow[name][0]
        is_output = fan_out != fan_in
        table[name] = (1 / r if is_output else r**-0.5), 1 / r
    return table


def apply_mup(model, base, table, lr):
    initial, groups = dict(base.named_parameters()), []
    for name, tensor in model.named_parameters():
        std, rate = table[name]
        if tensor.dim() > 1:
            with torch.no_grad():
                tensor.mul_(std * initial[name].square().mean().sqrt() / tensor.square().mean().sqrt())
        groups.append({"params": [tensor], "lr": lr * rate})
    return groups


def coordinate_slopes(widths, changes):
    x = np.log(widths)
    x = x - x.mean()
    found = {}
    for layer, values in changes.items():
        slopes = np.log(values) @ x / (x @ x)
        found[layer] = float(slopes.mean()), float(slopes.std(ddof=1) / math.sqrt(len(slopes)))
    return found


def transfer_penalty(narrow, wide):
    small, large = (np.where(np.isnan(losses), np.inf, losses).mean(axis=0) for losses in (narrow, wide))
    return float(large[small.argmin()] - large.min())
