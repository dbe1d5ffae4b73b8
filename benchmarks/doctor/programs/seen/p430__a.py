"""Clothes with 400 labels and 1600 pictures without: mean teacher (Tarvainen and Valpola)."""
import copy

import torch
import torch.nn.functional as F
from torch import nn

from data import fashion


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(24 * 49, 10),
        )

    def forward(self, x):
        return self.net(x)


def jitter(x):
    dx, dy = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(x, (dx, dy), dims=(2, 3)) + 0.05 * torch.randn_like(x)


class MeanTeacher:
    def __init__(self, student, decay=0.98, weight=4.0, ramp=100):
        self.teacher = copy.deepcopy(student).requires_grad_(False).eval()
        self.decay, self.weight, self.ramp, self.t = decay, weight, ramp, 0

    def step(self, network, batch, optimizer, loss):
        x, y = batch
        scores = network(jitter(x))
        with torch.no_grad():
            wanted = self.teacher(jitter(x)).softmax(1)
        agree = (scores.softmax(1) - wanted).pow(2).sum(1).mean()
        w = self.weight * min(1.0, self.t / self.ramp)
        optimizer.zero_grad()
        (loss(scores, y) + w * agree).backward()
        optimizer.step()
        with torch.no_grad():
            for a, b in zip(self.teacher.parameters(), network.parameters(), strict=True):
                a.lerp_(b, 1 - self.decay)
        self.t += 1


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(a) for a in fashion(2000, 1000))
    x, xv = x.float().unsqueeze(1) / 255, xv.float().unsqueeze(1) / 255
    y[torch.arange(2000) % 5 > 0] = -1  # one in five keeps its label
    student = Student()
    return {
        "network": student,
        "loss": nn.CrossEntropyLoss(ignore_index=-1),
        "step": MeanTeacher(student).step,
        "train": (x, y),
        "valid": (xv, yv),
        "optimizer": torch.optim.Adam(student.parameters(), lr=2e-3),
        "batch_size": 100,
        "epochs": 15,
    }
