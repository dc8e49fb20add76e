# Right: attention and layers by hand, norms first, a list of surprises, rows decoded one after the other
class MyAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, y, allowed):
        def split(z):
            return z.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(y)), split(self.v(y))
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2))


class MyLayer(nn.Module):
    def __init__(self, d_model, n_heads, cross):
        super().__init__()
        self.self_attention = MyAttention(d_model, n_heads)
        self.cross_attention = MyAttention(d_model, n_heads) if cross else None
        self.feed_forward = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(3 if cross else 2))

    def forward(self, x, allowed, memory=None, allowed_memory=None):
        h = self.norms[0](x)
        x = x + self.self_attention(h, h, allowed)
        if memory is not None:
            x = x + self.cross_attention(self.norms[1](x), memory, allowed_memory)
        return x + self.feed_forward(self.norms[-1](x))


class Seq2SeqTransformer(nn.Module):
    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.encoder = nn.ModuleList(MyLayer(d_model, n_heads, False) for _ in range(n_layers))
        self.decoder = nn.ModuleList(MyLayer(d_model, n_heads, True) for _ in range(n_layers))
        self.final = nn.ModuleList([nn.LayerNorm(d_model), nn.LayerNorm(d_model)])
        self.output = nn.Linear(d_model, n_tokens, bias=False)

    def embed(self, tokens):
        x = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        return x + sinusoidal_positions(tokens.shape[1], x.shape[-1]).to(x)

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        x, allowed = self.embed(src), (src != self.pad)[:, None, None, :]
        for layer in self.encoder:
            x = layer(x, allowed)
        return self.final[0](x)

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        x, causal = self.embed(tgt), torch.ones(tgt.shape[1], tgt.shape[1], dtype=torch.bool).tril()
        for layer in self.decoder:
            x = layer(x, causal, memory, (src != self.pad)[:, None, None, :])
        return self.output(self.final[1](x))

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(model, src, target, bos, pad):
    n, length = target.shape
    reads = target.new_empty(n, length)
    reads[:, 0] = bos
    reads[:, 1:] = target[:, :-1]
    log_p = model(src, reads).log_softmax(-1)
    surprises = [-log_p[i, t, target[i, t]] for i in range(n) for t in range(length) if target[i, t] != pad]
    return sum(surprises) / len(surprises)


def greedy_decode(model, src, bos, eos, pad, max_length):
    mode = model.training
    model.eval()
    rows = []
    with torch.inference_mode():
        memory = model.encode(src)
        for i in range(len(src)):
            written = [bos]
            while len(written) <= max_length and written[-1] != eos:
                logits = model.decode(torch.tensor([written]), memory[i : i + 1], src[i : i + 1])
                written.append(int(logits[0, -1].argmax()))
            rows.append(torch.tensor(written[1:]))
    if mode:
        model.train()
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
