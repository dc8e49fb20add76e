# Right: PyTorch's layers in lists, the output layer uses the embedding's weights, the target's padding is masked, too
class Seq2SeqTransformer(nn.Module):
    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder_layers = nn.ModuleList(
            [nn.TransformerEncoderLayer(d_model, n_heads, 4 * d_model, 0.0, batch_first=True) for _ in range(n_layers)]
        )
        self.decoder_layers = nn.ModuleList(
            [nn.TransformerDecoderLayer(d_model, n_heads, 4 * d_model, 0.0, batch_first=True) for _ in range(n_layers)]
        )
        self.last_norm = nn.LayerNorm(d_model)
        self.register_buffer("positions", sinusoidal_positions(512, d_model))

    def embed(self, tokens):
        return self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim) + self.positions[: tokens.shape[1]]

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        x = self.embed(src)
        for layer in self.encoder_layers:
            x = layer(x, src_key_padding_mask=src.eq(self.pad))
        return x

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        place = torch.arange(tgt.shape[1])
        x = self.embed(tgt)
        for layer in self.decoder_layers:
            x = layer(
                x,
                memory,
                tgt_mask=place[None, :] > place[:, None],
                tgt_key_padding_mask=tgt.eq(self.pad),
                memory_key_padding_mask=src.eq(self.pad),
            )
        return self.last_norm(x) @ self.embedding.weight.T

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(model, src, target, bos, pad):
    reads = target.roll(1, dims=1)
    reads[:, 0] = bos
    counts = target != pad
    logits = model(src, reads)[counts]
    right = logits.gather(1, target[counts][:, None])[:, 0]
    return (logits.logsumexp(1) - right).mean()


def greedy_decode(model, src, bos, eos, pad, max_length):
    mode = model.training
    model.train(False)
    try:
        with torch.no_grad():
            memory = model.encode(src)
            written = torch.empty(len(src), 0, dtype=torch.long)
            start = torch.full((len(src), 1), bos)
            for _ in range(max_length):
                logits = model.decode(torch.hstack([start, written]), memory, src)
                written = torch.hstack([written, logits[:, -1].argmax(-1, keepdim=True)])
                if (written == eos).any(1).all():
                    break
        past = (written == eos).cumsum(1) - (written == eos).long() > 0
        return torch.where(past, pad, written)
    finally:
        model.train(mode)
