# Right: NumPy arithmetic that returns NumPy floats for every quantity
def blocks(config):
    """Weights and biases of the linear layers, (inputs, outputs, how many)."""
    kv = config.d_model // config.n_heads * config.n_kv_heads
    return np.array([
        [config.d_model, config.d_model, 2],
        [config.d_model, kv, 2],
        [config.d_model, config.d_ff, 2 if config.gated else 1],
        [config.d_ff, config.d_model, 1],
    ], dtype=np.float64)


def parameter_count(config: DecoderConfig) -> int:
    n_in, n_out, copies = blocks(config).T
    linear = np.sum(copies * n_in * n_out)
    if config.bias:
        linear += copies @ n_out
    norm = config.d_model * (2.0 if config.layer_norm else 1.0)
    rows = config.vocab_size + config.n_positions
    if not config.tied:
        rows += config.vocab_size
    return np.float64(rows * config.d_model + config.n_layers * (linear + 2 * norm) + norm)


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    return parameter_count(config) * np.float64(bits) * 0.125


def training_bytes(config: DecoderConfig) -> int:
    return np.dot([16, 16, 32, 32, 32], np.full(5, parameter_count(config))) / 8


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    shape = [config.n_layers, 2, batch, config.n_kv_heads, length, config.head_dim]
    return np.prod(np.array(shape, dtype=np.float64)) * bits / 8


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    n_in, n_out, copies = blocks(config).T
    per_token = config.n_layers * np.sum(copies * n_in * n_out) + config.d_model * config.vocab_size
    attention = config.n_layers * 2 * config.d_model * length
    return 2.0 * batch * length * (per_token + attention)


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    return np.float64(tokens) / length * forward_flops(config, 3, length)


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    return np.divide(flops, np.multiply(peak, utilisation)) / 3.6e3
