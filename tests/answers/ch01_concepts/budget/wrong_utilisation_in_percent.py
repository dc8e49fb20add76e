# Wrong: the utilisation is taken to be a percentage
# Fails: hours_of_work, takes_its_hours
def parameter_count(config: DecoderConfig) -> int:
    d, f, L = config.d_model, config.d_ff, config.n_layers
    kv = config.n_kv_heads * config.head_dim
    projections = d * d + d * kv + d * kv + d * d
    mlp = 3 * d * f if config.gated else 2 * d * f
    biases = 0
    if config.bias:
        biases += d + kv + kv + d
        biases += 2 * f + d if config.gated else f + d
    norm = 2 * d if config.layer_norm else d
    total = config.vocab_size * d
    total += config.n_positions * d
    total += L * (projections + mlp + biases + 2 * norm)
    total += norm
    if not config.tied:
        total += config.vocab_size * d
    return total


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return parameter_count(config) * bits / 8


def training_bytes(config: DecoderConfig) -> int:
    half, full = 2, 4
    return parameter_count(config) * (2 * half + 3 * full)


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    per_token = 2 * config.n_layers * config.n_kv_heads * config.head_dim
    return per_token * batch * length * bits / 8


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    d, f = config.d_model, config.d_ff
    kv = config.n_kv_heads * config.head_dim
    tokens = batch * length
    projections = 2 * tokens * (2 * d * d + 2 * d * kv)
    mlp = 2 * tokens * (3 if config.gated else 2) * d * f
    scores = 2 * batch * config.n_heads * length * config.head_dim * length
    average = 2 * batch * config.n_heads * length * length * config.head_dim
    output = 2 * tokens * d * config.vocab_size
    return config.n_layers * (projections + mlp + scores + average) + output


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    return 3 * forward_flops(config, 1, length) * (tokens / length)


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    seconds = flops / (peak * utilisation / 100)
    return seconds / 3600
