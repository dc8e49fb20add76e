# Right: by a reader who saw the release alone
class Seq2SeqTransformer(nn.Module):
    """An encoder-decoder transformer. Source and target have the same vocabulary, tokens 0 to n_tokens - 1.

    It consists of token embeddings of width d_model, to which `sinusoidal_positions` are added, n_layers encoder layers,
    n_layers decoder layers and a linear layer to the vocabulary. The linear maps in the layers have biases; the feed-forward
    networks are 4 * d_model wide. There is no dropout, and except for layer norms there are no other parameters.

    A batch is padded with the token `pad` at the ends of its rows.
    """

    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.d_model, self.pad = d_model, pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.transformer = nn.Transformer(
            d_model,
            n_heads,
            num_encoder_layers=n_layers,
            num_decoder_layers=n_layers,
            dim_feedforward=4 * d_model,
            dropout=0.0,
            batch_first=True,
        )
        self.to_vocabulary = nn.Linear(d_model, n_tokens)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token embeddings, scaled as in the paper, plus positions."""
        vectors = self.embedding(tokens) * math.sqrt(self.d_model)
        return vectors + sinusoidal_positions(tokens.shape[1], self.d_model).to(vectors)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        """Reads the source (batch, S) in both directions; returns the memory (batch, S, d_model)."""
        return self.transformer.encoder(self.embed(src), src_key_padding_mask=src == self.pad)

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        """Logits (batch, T, n_tokens) for the next token at each position of tgt."""
        length = tgt.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=tgt.device).triu(1)  # True: may not look
        hidden = self.transformer.decoder(
            self.embed(tgt), memory, tgt_mask=future, memory_key_padding_mask=src == self.pad
        )
        return self.to_vocabulary(hidden)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        """Logits (batch, T, n_tokens) for a source (batch, S) and a decoder's input (batch, T)."""
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(model: nn.Module, src: torch.Tensor, target: torch.Tensor, bos: int, pad: int) -> torch.Tensor:
    """Mean cross-entropy, in nats, of all tokens of the target that are not padding, each predicted from those before it."""
    reads = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
    logits = model(src, reads)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)


def greedy_decode(model: nn.Module, src: torch.Tensor, bos: int, eos: int, pad: int, max_length: int) -> torch.Tensor:
    """Writes a target for each source, token by token, always the most likely one."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        written = torch.full((len(src), 1), bos, dtype=torch.int64, device=src.device)
        ended = torch.zeros(len(src), dtype=torch.bool, device=src.device)
        for _ in range(max_length):
            token = model.decode(written, memory, src)[:, -1].argmax(-1)
            token = token.masked_fill(ended, pad)
            written = torch.cat([written, token[:, None]], dim=1)
            ended = ended | (token == eos)
            if ended.all():
                break
    model.train(was_training)
    return written[:, 1:]
