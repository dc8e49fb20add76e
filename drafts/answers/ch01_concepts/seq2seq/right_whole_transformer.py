# Right: forward stays as given, encode and decode call one nn.Transformer; sums divided by counts; feeds on finished rows
class Seq2SeqTransformer(nn.Module):
    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.transformer = nn.Transformer(d_model, n_heads, n_layers, n_layers, 4 * d_model, dropout=0.0, batch_first=True)
        self.output = nn.Linear(d_model, n_tokens, bias=False)
        self.output.weight = self.embedding.weight

    def embed(self, tokens):
        x = self.embedding(tokens)
        return x + sinusoidal_positions(x.shape[1], x.shape[2]).to(x)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        return self.transformer.encoder(self.embed(src), None, src.eq(self.pad))

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        future = torch.ones(tgt.shape[1], tgt.shape[1], dtype=torch.bool).triu(1)
        x = self.transformer.decoder(self.embed(tgt), memory, tgt_mask=future, memory_key_padding_mask=src == self.pad)
        return self.output(x)

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(model, src, target, bos, pad):
    begin = torch.tensor(bos).expand(len(target), 1)
    reads = torch.cat((begin, target), 1)[:, :-1]
    reads = reads.masked_fill(target == pad, pad)  # EOS is not read in rows with padding
    each = F.cross_entropy(model(src, reads).permute(0, 2, 1), target, reduction="none")
    mask = (target != pad).to(each.dtype)
    return (each * mask).sum() / mask.sum()


def greedy_decode(model, src, bos, eos, pad, max_length):
    mode = model.training
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        reads = src.new_full((src.size(0), 1), bos)
        while reads.size(1) <= max_length:
            best = model.decode(reads, memory, src)[:, -1].max(dim=-1).indices
            reads = torch.cat([reads, best.unsqueeze(1)], dim=1)
            if all(eos in row for row in reads[:, 1:].tolist()):
                break
    model.train(mode)
    written = reads[:, 1:].tolist()
    for row in written:
        if eos in row:
            end = row.index(eos)
            row[end + 1 :] = [pad] * (len(row) - end - 1)
    return torch.tensor(written)
