"""From one collection of handwritten digits to another, whose labels are not used: a domain classifier stands behind
a layer that turns the gradient around (Ganin and Lempitsky 2015)."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from data import mnist


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.strength * grad, None


class DANN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU())
        self.label = nn.Linear(48, 10)
        self.domain = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.label(self.features(x))

    def both(self, x):
        h = self.features(x)
        return self.label(h), self.domain(ReverseGradient.apply(h, 0.3)).squeeze(1)


def objective(network, batch):
    x, y = batch
    labels, domain = y[:, 0], y[:, 1]
    scores, guess = network.both(x)
    known = domain == 0
    task = F.cross_entropy(scores[known], labels[known]) if known.any() else scores.sum() * 0
    return task + F.binary_cross_entropy_with_logits(guess, domain.float())


def evaluate(network, valid):
    network.eval()
    x, y = valid
    with torch.no_grad():
        return (network(x).argmax(1) == y[:, 0]).float().mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    pictures, digit, _, _ = mnist(2000, 10)
    source = F.adaptive_avg_pool2d(torch.tensor(pictures[:, 4:24, 4:24]).float().unsqueeze(1), 8).flatten(1)
    target, answer = load_digits(return_X_y=True)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(18))
    target, answer = torch.tensor(target).float()[order], torch.tensor(answer)[order]
    source = (source - source.mean()) / source.std()
    target = (target - target[:1000].mean()) / target[:1000].std()
    known = torch.stack([torch.tensor(digit), torch.zeros(len(digit), dtype=torch.long)], dim=1)
    unknown = torch.tensor([[-1, 1]]).expand(1000, 2)
    x, y = torch.cat([source, target[:1000]]), torch.cat([known, unknown])
    truth = torch.stack([answer[1000:], torch.ones(len(answer) - 1000, dtype=torch.long)], dim=1)
    net = DANN()
    return {"network": net, "objective": objective, "train": (x, y), "valid": (target[1000:], truth),
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 60, "epochs": 15,
            "evaluate": evaluate}
