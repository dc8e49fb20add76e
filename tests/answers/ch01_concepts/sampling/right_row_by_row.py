# Right: Python loops over rows and tokens

def rows_of(logits, change):
    flat = logits.reshape(-1, logits.shape[-1])
    return torch.stack([change(row) for row in flat]).view(logits.shape)


def keep_top_k(logits, k):
    if k <= 0:
        raise ValueError("k <= 0")

    def change(row):
        limit = sorted(row.tolist(), reverse=True)[:k][-1]
        return torch.tensor([z if z >= limit else -math.inf for z in row.tolist()], dtype=row.dtype)

    return rows_of(logits, change)


def keep_top_p(logits, p):
    if not (0 < p and p <= 1):
        raise ValueError("p outside of (0, 1]")

    def change(row):
        shares = torch.softmax(row.double(), 0).tolist()
        total, kept = 0.0, torch.full_like(row, -math.inf)
        for i in sorted(range(len(shares)), key=lambda i: (-float(row[i]), i)):
            if total < p or p == 1:
                kept[i] = row[i]
            total += shares[i]
        return kept

    return rows_of(logits, change)


def next_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError("cold")
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    logits = logits.double()
    if temperature == 0:
        best = logits == logits.max(-1, keepdim=True)[0]
        logits = best.double().log()
    else:
        logits = logits / temperature
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    return torch.softmax(logits, -1).to(dtype)


@torch.no_grad()
def generate(model, ids, n_new, context, temperature=1.0, top_k=None, top_p=None, generator=None):
    was = model.training
    try:
        model.train(False)
        rows = ids.tolist()
        for _ in range(n_new):
            window = torch.tensor([row[max(0, len(row) - context) :] for row in rows])
            p = next_distribution(model(window), temperature, top_k, top_p)[:, -1]
            for row, new in zip(rows, torch.multinomial(p, 1, generator=generator)):
                row.append(int(new))
        return torch.tensor(rows)
    finally:
        model.train(was)
