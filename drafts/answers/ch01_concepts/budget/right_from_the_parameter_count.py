# Right: the FLOPs follow from the parameter count, less what is not multiplied
def parameter_count(config: DecoderConfig) -> int:
    d = config.d_model
    group = config.n_heads // config.n_kv_heads
    block = 2 * d**2 * (1 + 1 / group)
    block += (2 + config.gated) * d * config.d_ff
    if config.bias:
        block += 2 * d * (1 + 1 / group) + (1 + config.gated) * config.d_ff + d
    norms = (2 * config.n_layers + 1) * d * (1 + config.layer_norm)
    tables = (config.vocab_size * (2 - config.tied) + config.n_positions) * d
    return round(config.n_layers * block + norms + tables)


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return parameter_count(config) / (8 / bits)


def training_bytes(config: DecoderConfig) -> int:
    return 16 * parameter_count(config)


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    width = config.d_model * config.n_kv_heads // config.n_heads
    return bits * config.n_layers * batch * length * width / 4


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    from dataclasses import replace

    # A model without biases, positions or output layer of its own; then take the norms away.
    bare = replace(config, bias=False, n_positions=0, layer_norm=False, tied=True)
    multiplied = parameter_count(bare) - (2 * config.n_layers + 1) * config.d_model
    return batch * (2 * multiplied * length + 4 * config.n_layers * config.d_model * length**2)


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    return forward_flops(config, tokens / length, length) * 3


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    return flops / peak / utilisation / 60 / 60
