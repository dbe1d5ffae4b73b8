"""Where does it look? Planes, cars, deer and ships; the network reads the picture through attention that can be zero.

Sparsemax (Martins & Astudillo 2016) projects the scores onto the simplex: like softmax, but most weights are 0.
"""
import torch
from torch import nn
from data import cifar

CLASSES = (0, 1, 4, 8)


class Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores):
        ordered = scores.sort(dim=-1, descending=True).values
        ranks = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
        total = ordered.cumsum(-1) - 1
        support = (ranks * ordered > total).sum(-1, keepdim=True)
        threshold = total.gather(-1, support - 1) / support
        weights = (scores - threshold).clamp_min(0)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx, grad):
        (weights,) = ctx.saved_tensors
        kept = (weights > 0).to(grad.dtype)
        mean = (grad * kept).sum(-1, keepdim=True) / kept.sum(-1, keepdim=True)
        return kept * (grad - mean)


class Glimpses(nn.Module):
    """Four glimpses: each is a weighted mean of the feature map, over the few places it chooses."""

    def __init__(self, classes, width=40, glimpses=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.where = nn.Conv2d(width, glimpses, 1)
        self.places = nn.Parameter(torch.zeros(glimpses, 64))
        self.out = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(glimpses * width, classes))

    def forward(self, x):
        h = self.features(x)
        weights = Sparsemax.apply(self.where(h).flatten(2) + self.places)
        return self.out(weights @ h.flatten(2).transpose(1, 2))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = cifar(2000, 800, classes=CLASSES)
    x, xv = (torch.from_numpy(a).permute(0, 3, 1, 2).float() / 127.5 - 1 for a in (x, xv))
    y, yv = torch.from_numpy(y), torch.from_numpy(yv)
    x, y = torch.cat([x, x.flip(3)]), torch.cat([y, y])  # each picture and its mirror image
    model = Glimpses(len(CLASSES))
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (x, y), "valid": (xv, yv),
            "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05), "batch_size": 50,
            "epochs": 4}
