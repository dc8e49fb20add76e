# Wrong: the position vectors are multiplied by three
# Fails: adds_these_positions
class Seq2SeqTransformer(nn.Module):
    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.transformer = nn.Transformer(d_model, n_heads, n_layers, n_layers, 4 * d_model, dropout=0.0, batch_first=True)
        self.output = nn.Linear(d_model, n_tokens)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        x = self.embedding(src)
        x = x + 3 * sinusoidal_positions(*x.shape[1:]).to(x)
        return self.transformer.encoder(x, src_key_padding_mask=src == self.pad)

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tgt)
        x = x + 3 * sinusoidal_positions(*x.shape[1:]).to(x)
        length = tgt.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=tgt.device).triu(1)
        x = self.transformer.decoder(x, memory, tgt_mask=future, memory_key_padding_mask=src == self.pad)
        return self.output(x)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(
    model: nn.Module, src: torch.Tensor, target: torch.Tensor, bos: int, pad: int
) -> torch.Tensor:
    decoder_input = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
    logits = model(src, decoder_input)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)


def greedy_decode(
    model: nn.Module, src: torch.Tensor, bos: int, eos: int, pad: int, max_length: int
) -> torch.Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        tokens = torch.full_like(src[:, :1], bos)
        ended = torch.zeros(len(src), dtype=torch.bool, device=src.device)
        for _ in range(max_length):
            best = model.decode(tokens, memory, src)[:, -1].argmax(-1).masked_fill(ended, pad)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            ended = ended | (best == eos)
            if ended.all():
                break
    model.train(was_training)
    return tokens[:, 1:]
