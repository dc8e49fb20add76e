# Right: torch in 64 bits; a class for the API
def hidden_width(outputs, drop=20.0):
    rows = torch.unique(torch.tensor(outputs, dtype=torch.float64), dim=0)
    sizes = torch.linalg.svdvals(rows - rows.mean(1, keepdim=True))
    if len(rows) < 2 or sizes[0] == 0:
        raise ValueError("nothing to see")
    sizes = sizes.clamp(min=1e-9 * float(sizes[0]))
    ratio, index = (sizes[:-1] / sizes[1:]).max(0)
    if ratio < drop:
        raise ValueError("no width")
    return int(index) + 1


def output_space(outputs, width):
    if width not in range(1, len(outputs) + 1):
        raise ValueError(width)
    rows = torch.tensor(outputs, dtype=torch.float64)
    return torch.linalg.svd(rows - rows.mean(1, keepdim=True), full_matrices=False).Vh[:width].T.numpy()


def recovery_error(stolen: np.ndarray, layer: np.ndarray) -> float:
    stolen, layer = (np.asarray(matrix, dtype=float) - np.mean(matrix, axis=0) for matrix in (stolen, layer))
    # Columns of equal length first: what counts as dependent must not depend on lengths.
    stolen = stolen / np.maximum(np.linalg.norm(stolen, axis=0), 1e-300)
    best = np.linalg.lstsq(stolen, layer, rcond=1e-10)[0]
    return float(np.linalg.norm(stolen @ best - layer) / np.linalg.norm(layer))


class rounded_api:
    def __init__(self, model, step):
        self.model, self.step = model, step

    def __call__(self, queries):
        answers = torch.log_softmax(torch.tensor(np.array(self.model(queries)), dtype=torch.float64), dim=1).numpy()
        if self.step > 0:
            answers = (answers / self.step).round() * self.step
        return answers
