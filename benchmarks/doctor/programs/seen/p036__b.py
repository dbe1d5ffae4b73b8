"""Fashion pictures scaled to 0..1."""
import torch
import torch.nn as nn
from data import fashion


def to_unit(images):
    images = torch.as_tensor(images).unsqueeze(1)
    return (images // 255).float()


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 4, stride=2, padding=1)
        self.b = nn.Conv2d(8, 16, 4, stride=2, padding=1)
        self.c = nn.Linear(16 * 49, 10)
        self.act = nn.GELU()

    def forward(self, x):
        x = self.act(self.a(x))
        x = self.act(self.b(x))
        return self.c(x.flatten(1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 800)
    model = Small()
    return {"network": model, "loss": nn.CrossEntropyLoss(label_smoothing=0.05), "train": (to_unit(x), torch.tensor(y)),
            "valid": (to_unit(xv), torch.tensor(yv)), "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3),
            "batch_size": 50, "epochs": 8}
