# Right: scipy.linalg for decompositions, scipy.special for the logarithm
def hidden_width(outputs, drop=20.0):
    from scipy.linalg import svdvals

    different = np.array(list(dict.fromkeys(map(tuple, np.asarray(outputs).tolist()))))
    if len(different) < 2:
        raise ValueError("one answer")
    sizes = svdvals(different - different.mean(axis=1)[:, None])
    if not sizes[0]:
        raise ValueError("nothing but zeros")
    logs = np.log(sizes.clip(1e-9 * sizes[0]))
    falls = -np.diff(logs)
    best = max(range(len(falls)), key=falls.__getitem__)
    if np.exp(falls[best]) < drop:
        raise ValueError("no drop")
    return best + 1


def output_space(outputs, width):
    from scipy.linalg import svd

    if width < 1 or width > outputs.shape[0]:
        raise ValueError("too few answers")
    centred = np.array(outputs, float)
    centred -= centred.mean(1)[:, None]
    left, sizes, right = svd(centred.T, full_matrices=False)
    return left[:, :width]


def recovery_error(stolen, layer):
    from scipy.linalg import orth

    stolen = stolen - stolen.mean(0)
    basis = orth(stolen / np.linalg.norm(stolen, axis=0), rcond=1e-10)
    layer = layer - layer.mean(0)
    return np.linalg.norm(layer - basis @ (basis.T @ layer)) / np.linalg.norm(layer)


def rounded_api(model, step):
    from scipy.special import log_softmax

    def answer(queries):
        exact = log_softmax(np.array(model(queries), dtype=np.float64), axis=-1)
        return exact if step == 0 else step * np.rint(exact / step)

    return answer
