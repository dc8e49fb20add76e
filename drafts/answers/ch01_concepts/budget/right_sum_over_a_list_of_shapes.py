# Right: every matrix is written down as a shape and the products are summed
def matrices(config):
    """Shapes of the weight matrices of one block, inputs first."""
    d, f = config.d_model, config.d_ff
    kv = config.head_dim * config.n_kv_heads
    shapes = [(d, d), (d, kv), (d, kv), (d, d), (d, f), (f, d)]
    return shapes + [(d, f)] * config.gated


def parameter_count(config: DecoderConfig) -> int:
    d = config.d_model
    tensors = [(config.vocab_size, d)]
    if config.n_positions:
        tensors.append((config.n_positions, d))
    for _ in range(config.n_layers):
        for n_in, n_out in matrices(config):
            tensors.append((n_in, n_out))
            if config.bias:
                tensors.append((n_out,))
        tensors += [(d,)] * (4 if config.layer_norm else 2)
    tensors += [(d,)] * (2 if config.layer_norm else 1)
    if not config.tied:
        tensors.append((d, config.vocab_size))
    return sum(math.prod(shape) for shape in tensors)


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return bits * parameter_count(config) / 8


def training_bytes(config: DecoderConfig) -> int:
    return sum(parameter_count(config) * bits // 8 for bits in (16, 16, 32, 32, 32))


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    total = 0.0
    for _layer in range(config.n_layers):
        for _kind in ("key", "value"):
            total += batch * length * config.n_kv_heads * config.head_dim * (bits / 8)
    return total


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    def product(m, k, n):
        return 2 * m * k * n

    total = 0
    for _ in range(config.n_layers):
        for n_in, n_out in matrices(config):
            total += product(batch * length, n_in, n_out)
        for _ in range(batch * config.n_heads):
            total += product(length, config.head_dim, length)
            total += product(length, length, config.head_dim)
    return total + product(batch * length, config.d_model, config.vocab_size)


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    sequences = tokens / length
    forward = sequences * forward_flops(config, 1, length)
    backward = 2 * forward
    return forward + backward


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    flops_per_hour = 60 * 60 * peak * utilisation
    return flops / flops_per_hour
