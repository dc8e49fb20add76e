# Right: eigenvectors of small matrices, Gram and Schmidt, loops
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


def output_space(outputs, width):
    if width < 1 or len(outputs) < width:
        raise ValueError("a width from 1 to the number of answers")
    rows = np.asarray(outputs, dtype=float)
    rows = rows - rows.sum(1, keepdims=True) / rows.shape[1]
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return vectors[:, ::-1][:, :width]


def recovery_error(stolen, layer):
    def centred(matrix):
        return matrix - matrix.sum(0) / len(matrix)

    basis = []
    for column in centred(stolen).T:
        column = column / np.linalg.norm(column)
        for _ in range(2):  # twice is enough for rounding
            for other in basis:
                column = column - (column @ other) * other
        if np.linalg.norm(column) > 1e-9:
            basis.append(column / np.linalg.norm(column))
    missing = centred(layer)
    whole = (missing**2).sum()
    for column in basis:
        missing = missing - np.outer(column, column @ missing)
    return float(((missing**2).sum() / whole) ** 0.5)


def rounded_api(model, step):
    def api(queries):
        answers = []
        for row in model(queries):
            row = [float(logit) for logit in row]
            largest = max(row)
            total = largest + math.log(math.fsum(math.exp(logit - largest) for logit in row))
            answers.append([logit - total for logit in row])
        if step:
            answers = [[round(value / step) * step for value in row] for row in answers]
        return np.array(answers)

    return api
