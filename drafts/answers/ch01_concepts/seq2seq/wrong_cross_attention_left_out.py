# Wrong: a decoder without cross-attention, as in GPT
# Fails: encoder_reads_both_ways, is_built_as_described
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
            pass
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


def teacher_forcing_loss(model: nn.Module, src: torch.Tensor, target: torch.Tensor, bos: int, pad: int) -> torch.Tensor:
    decoder_input = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
    logits = model(src, decoder_input)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)


def greedy_decode(model: nn.Module, src: torch.Tensor, bos: int, eos: int, pad: int, max_length: int) -> torch.Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        tokens = torch.full_like(src[:, :1], bos)
        ended = torch.zeros(len(src), dtype=torch.bool)
        for _ in range(max_length):
            best = model.decode(tokens, memory, src)[:, -1].argmax(-1)
            best = best.masked_fill(ended, pad)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            ended = ended | (best == eos)
            if ended.all():
                break
    model.train(was_training)
    return tokens[:, 1:]
