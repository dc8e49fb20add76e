# Right: the cache is no longer than the table of learnt positions
def parameter_count(config: DecoderConfig) -> int:
    d, f, kv = config.d_model, config.d_ff, config.n_kv_heads * config.head_dim
    block = 2 * d * d + 2 * d * kv + (3 if config.gated else 2) * d * f
    norm = 2 * d if config.layer_norm else d
    block += 2 * norm
    if config.bias:
        block += 2 * d + 2 * kv + (2 if config.gated else 1) * f + d
    embeddings = (config.vocab_size + config.n_positions) * d
    output = 0 if config.tied else config.vocab_size * d
    return embeddings + config.n_layers * block + norm + output


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return parameter_count(config) * bits / 8


def training_bytes(config: DecoderConfig) -> int:
    return 16 * parameter_count(config)


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    length = min(length, config.n_positions or length)
    return 2 * config.n_layers * config.n_kv_heads * config.head_dim * batch * length * bits / 8


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    d, f, kv = config.d_model, config.d_ff, config.n_kv_heads * config.head_dim
    matrices = 2 * d * d + 2 * d * kv + (3 if config.gated else 2) * d * f
    per_token = config.n_layers * (2 * matrices + 4 * length * d) + 2 * d * config.vocab_size
    return batch * length * per_token


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    return 3 * forward_flops(config, 1, length) / length * tokens


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    return flops / (peak * utilisation) / 3600
