# Right: by a reader who saw the release alone
def parameter_count(config: DecoderConfig) -> int:
    """Number of learnt parameters, each shared matrix counted once.

    >>> parameter_count(GPT2_SMALL)
    124439808
    """
    d, f = config.d_model, config.d_ff
    kv = config.n_kv_heads * config.head_dim
    norm = 2 * d if config.layer_norm else d
    block = 2 * d * d + 2 * d * kv + (3 if config.gated else 2) * d * f + 2 * norm
    if config.bias:
        block += 2 * d + 2 * kv + d + (2 if config.gated else 1) * f
    tables = config.vocab_size * d * (1 if config.tied else 2) + config.n_positions * d
    return tables + config.n_layers * block + norm


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    """Bytes that the weights take when each is stored in `bits` bits; whole bytes will do, too.

    >>> weight_bytes(GPT2_SMALL) / 2**20  # MiB
    237.35009765625
    """
    return parameter_count(config) * bits / 8


def training_bytes(config: DecoderConfig) -> int:
    """Bytes of weights, gradients and optimizer state for mixed-precision training with Adam.

    Per parameter: weight and gradient in 16 bits; master weight and two moments in 32 bits.
    Activations are not counted.
    """
    return (2 + 2 + 3 * 4) * parameter_count(config)


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    """Bytes of the keys and values of `batch` sequences of `length` tokens; whole bytes will do, too.

    >>> kv_cache_bytes(LLAMA3_8B, batch=1, length=8192) / 2**30  # GiB
    1.0
    """
    return 2 * config.n_layers * config.n_kv_heads * config.head_dim * batch * length * bits / 8


def _token_flops(config, length):
    """FLOPs of the forward pass per token, in sequences of `length`."""
    d, f = config.d_model, config.d_ff
    kv = config.n_kv_heads * config.head_dim
    matrices = 2 * d * d + 2 * d * kv + (3 if config.gated else 2) * d * f
    scores_and_mix = 2 * 2 * length * d
    return config.n_layers * (2 * matrices + scores_and_mix) + 2 * config.vocab_size * d


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    """FLOPs of the matrix products in one forward pass over (batch, length) tokens.

    An (m, k) by (k, n) product counts 2*m*k*n. Counted are the linear layers, the output layer
    (for every token) and attention's two products over the full length x length square;
    biases, norms, activations and embedding look-ups are not.
    """
    return batch * length * _token_flops(config, length)


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    """FLOPs of forward and backward passes over `tokens` tokens in sequences of `length`.

    Counted as in `forward_flops`; the backward pass costs twice the forward pass. `tokens` need
    not be a multiple of `length`: the cost per token is what counts.
    """
    return 3 * tokens * _token_flops(config, length)


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    """Hours that one GPU works on `flops` operations.

    Args:
        flops: operations to do.
        peak: the GPU's peak rate in FLOPs per second.
        utilisation: share of the peak that is reached, between 0 and 1.

    >>> gpu_hours(3.6e21, peak=1e15, utilisation=0.5)
    2000.0
    """
    return flops / (peak * utilisation) / 3600
