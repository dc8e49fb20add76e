# Right: bpda as an autograd.Function, the logits sorted, sums in place of means
class Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, smooth):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


def dlr_loss(logits, labels):
    ordered, order = logits.sort(dim=1, descending=True)
    rival = torch.where(order[:, 0] == labels, ordered[:, 1], ordered[:, 0])
    label = logits[torch.arange(len(logits)), labels]
    return (rival - label) / (ordered[:, 0] - ordered[:, 2])


def bpda(images, defence, substitute=None):
    value = defence(images.detach())
    return Pass.apply(value, images if substitute is None else substitute(images))


def eot_gradient(loss, images, n_draws):
    gradients = []
    while len(gradients) < n_draws:
        x = images.clone().detach()
        x.requires_grad = True
        value = loss(x)
        gradients.append(torch.autograd.grad(value, x, torch.ones_like(value))[0])
    return torch.stack(gradients).mean(0)


def accuracy_under_attack(classify, images, attacked, labels, eps, n_draws):
    far = (attacked - images).abs().max().item()
    low, high = attacked.min().item(), attacked.max().item()
    if not (far < eps + 1.1e-6 and low > -1.1e-6 and high < 1 + 1.1e-6):
        raise ValueError("out of bounds")
    n_right = 0
    for _ in range(n_draws):
        n_right += (margin_loss(classify(attacked), labels) < 0).sum().item()
    return n_right / (n_draws * len(images))
