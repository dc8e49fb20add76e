# Right: nn.TransformerEncoder and nn.TransformerDecoder without last norms, separate embeddings, float masks
class Seq2SeqTransformer(nn.Module):
    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad, self.d_model = pad, d_model
        self.src_embedding = nn.Embedding(n_tokens, d_model, padding_idx=pad)
        self.tgt_embedding = nn.Embedding(n_tokens, d_model, padding_idx=pad)
        sizes = dict(d_model=d_model, nhead=n_heads, dim_feedforward=4 * d_model, dropout=0, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**sizes), n_layers)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**sizes), n_layers)
        self.output = nn.Linear(d_model, n_tokens)

    def padding(self, tokens):
        zeros = torch.zeros(tokens.shape)
        return zeros.masked_fill(tokens == self.pad, -math.inf)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        x = self.src_embedding(src) + sinusoidal_positions(src.shape[1], self.d_model)
        return self.encoder(x, src_key_padding_mask=self.padding(src))

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        x = self.tgt_embedding(tgt) + sinusoidal_positions(tgt.shape[1], self.d_model)
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.shape[1])
        x = self.decoder(x, memory, tgt_mask=mask, memory_key_padding_mask=self.padding(src), tgt_is_causal=True)
        return self.output(x)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(model, src, target, bos, pad):
    reads = F.pad(target, (1, 0), value=bos)[:, :-1]
    labels = target.masked_fill(target == pad, -100)
    return F.cross_entropy(model.decode(reads, model.encode(src), src).transpose(1, 2), labels)


@torch.no_grad()
def greedy_decode(model, src, bos, eos, pad, max_length):
    mode = model.training
    model.eval()
    memory = model.encode(src)
    tokens = torch.full((len(src), max_length + 1), pad)
    tokens[:, 0] = bos
    going = torch.ones(len(src), dtype=torch.bool)
    n = 0
    while n < max_length and going.any():
        logits = model.decode(tokens[:, : n + 1], memory, src)[:, n]
        n += 1
        tokens[going, n] = logits.argmax(1)[going]
        going = going & (tokens[:, n] != eos)
    model.train(mode)
    return tokens[:, 1 : n + 1].clone()
