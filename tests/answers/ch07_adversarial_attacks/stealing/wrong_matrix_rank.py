# Wrong: the rank, by the threshold of NumPy
# Fails: finds_the_largest_ratio, refuses_what_shows_no_width
def hidden_width(outputs, drop=20.0):
    rows = np.unique(np.asarray(outputs, dtype=float), axis=0)
    rank = np.linalg.matrix_rank(rows - rows.mean(1, keepdims=True))
    if rank == 0 or rank == len(rows):
        raise ValueError(rank)
    return int(rank)


def output_space(outputs: np.ndarray, width: int) -> np.ndarray:
    if not 1 <= width <= len(outputs):
        raise ValueError(f"{len(outputs)} answers span no space of {width} dimensions")
    rows = np.asarray(outputs, dtype=float)
    return np.linalg.svd(rows - rows.mean(1, keepdims=True), full_matrices=False)[2][:width].T


def recovery_error(stolen: np.ndarray, layer: np.ndarray) -> float:
    stolen, layer = (np.asarray(matrix, dtype=float) - np.mean(matrix, axis=0) for matrix in (stolen, layer))
    # Columns of equal length first: what counts as dependent must not depend on lengths.
    stolen = stolen / np.maximum(np.linalg.norm(stolen, axis=0), 1e-300)
    best = np.linalg.lstsq(stolen, layer, rcond=1e-10)[0]
    return float(np.linalg.norm(stolen @ best - layer) / np.linalg.norm(layer))


def rounded_api(model, step: float):
    def api(queries):
        logits = np.asarray(model(queries), dtype=float)
        shifted = logits - logits.max(1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return np.round(log_probs / step) * step if step else log_probs

    return api
