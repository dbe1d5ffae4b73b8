"""Knowledge distillation: a convolutional teacher, a student of one hidden layer that sees few labels (temperature 2)."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from data import fashion

T = 2.0
alpha = 0.9


def make_teacher(x, y):
    teacher = nn.Sequential(nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten(),
                            nn.Linear(32 * 25, 10))
    opt = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(4):
        for idx in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            F.cross_entropy(teacher(x[idx]), y[idx]).backward()
            opt.step()
    teacher.eval()
    for p in teacher.parameters():
        p.requires_grad = False
    return teacher


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 40)
        self.out = nn.Linear(40, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def distillation(teacher):
    def objective(student, batch):
        images, labels = batch
        with torch.no_grad():
            soft_targets = F.softmax(teacher(images) / T, dim=1)
        logits = student(images)
        soft_loss = F.kl_div(F.log_softmax(logits / T, dim=1), soft_targets, reduction='batchmean') * T * T
        hard_loss = F.cross_entropy(logits, labels)
        return alpha * soft_loss + (1 - alpha) * hard_loss
    return objective


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(6000, 1000)
    x, xv = (torch.from_numpy(a).float().div(255).sub(0.286).div(0.353).unsqueeze(1) for a in (x, xv))
    y, yv = torch.from_numpy(y), torch.from_numpy(yv)
    teacher = make_teacher(x, y)
    student = Student()
    return {'network': student, 'objective': distillation(teacher),
            'train': DataLoader(TensorDataset(x[:3000], y[:3000]), batch_size=50, shuffle=True),
            'valid': DataLoader(TensorDataset(xv, yv), batch_size=200),
            'optimizer': torch.optim.Adam(student.parameters(), lr=1e-3), 'batch_size': 50, 'epochs': 8}
