"""Knowledge distillation (Hinton, Vinyals, Dean 2015): an MLP of 40 units learns from a CNN that has seen more pictures."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist


def big():
    return nn.Sequential(nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2),
                         nn.ReLU(), nn.Flatten(), nn.Linear(24 * 25, 10))


def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 40), nn.ReLU(), nn.Linear(40, 10))


def train_teacher(x, y):
    teacher = big()
    opt = torch.optim.Adam(teacher.parameters(), lr=3e-3)
    for _ in range(3):
        for rows in torch.randperm(len(x)).split(50):
            opt.zero_grad()
            F.cross_entropy(teacher(x[rows]), y[rows]).backward()
            opt.step()
    return teacher.eval().requires_grad_(False)


class Distill:
    def __init__(self, teacher, T=4.0, alpha=0.9):
        self.teacher, self.T, self.alpha = teacher, T, alpha

    def __call__(self, student, batch):
        x, y = batch
        logits = student(x)
        with torch.no_grad():
            soft = F.softmax(self.teacher(x) / self.T, dim=1)
        kd = F.kl_div(F.log_softmax(logits / self.T, dim=1), soft, reduction="batchmean") * self.T**2
        return self.alpha * kd + (1 - self.alpha) * F.cross_entropy(logits, y)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(4000, 1000)
    x, xv = (torch.from_numpy(a).float() / 255 for a in (x, xv))
    y, yv = torch.from_numpy(y), torch.from_numpy(yv)
    teacher = train_teacher(x, y)
    student = small()
    return {"network": student, "objective": Distill(teacher), "train": (x[:1200], y[:1200]), "valid": (xv, yv),
            "optimizer": torch.optim.Adam(student.parameters(), lr=2e-3), "batch_size": 40, "epochs": 10}
