# Wrong: the causal mask adds -50
# Fails: masks_hold_at_large_scores
class Seq2SeqTransformer(nn.Module):
    """An encoder-decoder transformer. Source and target have the same vocabulary, tokens 0 to
    n_tokens - 1.

    It consists of token embeddings of width d_model, to which `sinusoidal_positions` are added as
    they are,
    n_layers encoder layers, n_layers decoder layers and a linear layer to the vocabulary. The
    linear maps in the layers have biases; the feed-forward networks are 4 * d_model wide. There is
    no dropout, and except for layer norms there are no other parameters.

    A batch is padded with the token `pad` at the ends of its rows. Each row of a source has a token
    that is not padding, and each row of a target begins with one. What is computed for one row
    depends neither on the other rows nor on how much padding it has, nor on earlier calls.

    Args:
        n_tokens: size of the vocabulary.
        d_model: width, an even number.
        n_heads: heads of each attention; divides d_model.
        n_layers: number of encoder layers, and number of decoder layers.
        pad: the padding token, one of 0 to n_tokens - 1.
    """

    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.transformer = nn.Transformer(d_model, n_heads, n_layers, n_layers, 4 * d_model, dropout=0.0, batch_first=True)
        self.output = nn.Linear(d_model, n_tokens)

    def embed(self, tokens):
        x = self.embedding(tokens)
        return x + sinusoidal_positions(tokens.shape[1], x.shape[-1]).to(x)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        """Reads the source in both directions.

        Args:
            src: (batch, S) tokens, for any S up to 512.

        Returns:
            The memory (batch, S, d_model). Its values at padding positions do not matter.
        """
        return self.transformer.encoder(self.embed(src), src_key_padding_mask=src == self.pad)

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        """Scores for the next token at each position of the decoder's input.

        Args:
            tgt: (batch, T) tokens that the decoder reads, for any T up to 512. They are not shifted
                here.
            memory: (batch, S, d_model), from `encode`, perhaps from a call before the last one.
            src: (batch, S), the source that the memory was made from; it tells where the padding
                is.

        Returns:
            Logits (batch, T, n_tokens). Those at position t depend on the memory at all positions
            that are not padding and on tgt[:, : t + 1], and on nothing else. At padding positions
            of tgt they do not matter.
        """
        length = tgt.shape[1]
        future = torch.full((length, length), -50.0, device=tgt.device).triu(1)
        hidden = self.transformer.decoder(self.embed(tgt), memory, tgt_mask=future, memory_key_padding_mask=src == self.pad)
        return self.output(hidden)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        """Logits (batch, T, n_tokens) for a source (batch, S) and a decoder's input (batch, T)."""
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(
    model: nn.Module, src: torch.Tensor, target: torch.Tensor, bos: int, pad: int
) -> torch.Tensor:
    """Mean cross-entropy, in nats, of all tokens of the target (EOS counts, padding does not), each
    predicted from those before it.

    Args:
        model: a `Seq2SeqTransformer`, or another module with its methods `forward`, `encode` and
            `decode`. It stays in its mode, training or evaluation.
        src: (batch, S), padded.
        target: (batch, T), each row with EOS as its last token and padded after that; without BOS.
        bos: the token that the decoder reads before the target.
        pad: the padding token.

    Both tensors stay as they are.

    Returns:
        A scalar with a gradient. It is the mean over the tokens of the whole batch: a long row
        weighs more than a short one.
    """
    begin = torch.full_like(target[:, :1], bos)
    logits = model(src, torch.cat([begin, target[:, :-1]], dim=1))
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)


def greedy_decode(
    model: nn.Module, src: torch.Tensor, bos: int, eos: int, pad: int, max_length: int
) -> torch.Tensor:
    """Writes a target for each source, token by token, always the most likely one.

    The decoder reads `bos` and then what it has written; the next token is the argmax of the logits
    at the last position. A row ends with `eos`. Writing stops when all rows have ended, or after
    max_length tokens. Rows that have ended may leave the batch that the decoder gets.

    Args:
        model: a `Seq2SeqTransformer`, or another module with its methods `forward`, `encode` and
            `decode`. It runs in evaluation mode and without gradients, and is then put back into
            the mode that it came in.
        src: (batch, S), padded; not modified, and encoded once.
        bos, eos, pad: three different tokens.
        max_length: the greatest number of tokens to write, at least 1.

    Returns:
        The tokens written, (batch, n), of type int64, without `bos` and with `eos`; n is the length
        of the longest row, at most max_length. After its `eos`, a row has only `pad`.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            memory = model.encode(src)
            written = torch.full((len(src), 1), bos, dtype=torch.int64, device=src.device)
            ended = torch.zeros(len(src), dtype=torch.bool, device=src.device)
            for _ in range(max_length):
                best = model.decode(written, memory, src)[:, -1].argmax(-1)
                best = best.masked_fill(ended, pad)
                written = torch.cat([written, best[:, None]], dim=1)
                ended |= best == eos
                if ended.all():
                    break
    finally:
        for module, mode in modes:
            module.training = mode
    return written[:, 1:]
