# Wrong: probabilities are rounded
# Fails: api_by_hand, api_rounds_log_probabilities
def hidden_width(outputs: np.ndarray, drop: float = 20.0) -> int:
    rows = np.unique(np.asarray(outputs, dtype=float), axis=0)
    sizes = np.linalg.svd(rows - rows.mean(1, keepdims=True), compute_uv=False)
    if len(sizes) < 2 or sizes[0] == 0:
        raise ValueError("two different answers are needed")
    sizes = np.maximum(sizes, 1e-9 * sizes[0])
    ratios = sizes[:-1] / sizes[1:]
    if ratios.max() < drop:
        raise ValueError(f"the largest drop is only {ratios.max():.3g}")
    return int(ratios.argmax()) + 1


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
        return np.log(np.maximum(np.round(np.exp(log_probs) / step) * step, 1e-12)) if step else log_probs

    return api
