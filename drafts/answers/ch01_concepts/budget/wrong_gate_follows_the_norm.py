# Wrong: there are two families only: gated with RMSNorm, plain with LayerNorm
# Fails: counts_like_transformers, forward_flops_are_counted
def attention_weights(config):
    return 2 * config.d_model * config.head_dim * (config.n_heads + config.n_kv_heads)


def attention_biases(config):
    return 2 * config.head_dim * (config.n_heads + config.n_kv_heads)


def mlp_weights(config):
    return config.d_model * config.d_ff * (2 if config.layer_norm else 3)


def mlp_biases(config):
    return config.d_model + config.d_ff * (1 if config.layer_norm else 2)


def parameter_count(config: DecoderConfig) -> int:
    total = 0
    for _ in range(config.n_layers):
        total += attention_weights(config) + mlp_weights(config)
        if config.bias:
            total += attention_biases(config) + mlp_biases(config)
    norm_sites = 2 * config.n_layers + 1
    total += norm_sites * config.d_model
    if config.layer_norm:
        total += norm_sites * config.d_model
    total += config.d_model * (config.vocab_size + config.n_positions)
    return total if config.tied else total + config.d_model * config.vocab_size


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return (bits / 8) * parameter_count(config)


def training_bytes(config: DecoderConfig) -> int:
    as_half = weight_bytes(config, 16)
    as_full = weight_bytes(config, 32)
    return int(2 * as_half + 3 * as_full)


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    keys = batch * config.n_kv_heads * length * config.head_dim * config.n_layers
    values = keys
    return (keys + values) * (bits / 8)


def flops_per_token(config, length):
    linear = attention_weights(config) + mlp_weights(config)
    scores_and_average = 2 * length * config.n_heads * config.head_dim
    return 2 * (config.n_layers * (linear + scores_and_average) + config.vocab_size * config.d_model)


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    return flops_per_token(config, length) * batch * length


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    return (1 + 2) * flops_per_token(config, length) * tokens


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    reached = peak * utilisation
    minutes, seconds = divmod(flops / reached, 60)
    return minutes / 60 + seconds / 3600
