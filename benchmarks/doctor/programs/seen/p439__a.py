"""A small network for letters learns from a large one (Hinton, Vinyals, Dean)."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import table

T = 4.0


def mlp(width):
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 26))


def train_teacher(x, y):
    teacher = mlp(160)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(8):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(teacher(x[rows]), y[rows]).backward()
            optimizer.step()
    return teacher.eval()


def distillation(teacher, alpha=0.7):
    def objective(network, batch):
        x, y = batch
        scores = network(x)
        with torch.no_grad():
            soft = F.softmax(teacher(x) / T, dim=1)
        kd = F.kl_div(F.log_softmax(scores / T, dim=1), soft, reduction="batchmean") * T * T
        return alpha * kd + (1 - alpha) * F.cross_entropy(scores, y)

    return objective


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition")
    x = torch.tensor(frame.iloc[:, 1:].values, dtype=torch.float32).sub(7).div(2.5)
    y = torch.tensor([ord(c) - 65 for c in frame["lettr"]])
    teacher = train_teacher(x[:7000], y[:7000])
    student = mlp(32)
    return {
        "network": student,
        "objective": distillation(teacher),
        "train": (x[:7000], y[:7000]),
        "valid": (x[16000:18000], y[16000:18000]),
        "optimizer": torch.optim.Adam(student.parameters(), lr=3e-3),
        "batch_size": 64,
        "epochs": 15,
    }
