"""Cell segmentation quality (poorly / well segmented) from 56 shape and intensity measurements."""
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from data import table

EPOCHS, BATCH = 12, 64


def load():
    frame = table("cells")
    target = frame["class"]
    features = frame.drop(columns=["class", "case"], errors="ignore").select_dtypes("number")
    return torch.tensor(features.to_numpy(), dtype=torch.float32), torch.tensor((target == target.unique()[0]).to_numpy().astype(int))


class Classifier(nn.Module):
    def __init__(self, n_in, n_hidden=48):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(n_in, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU(), nn.Dropout(0.2))
        self.out = nn.Linear(n_hidden, 2)

    def forward(self, x):
        return self.out(self.block(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load()
    perm = torch.randperm(len(x), generator=torch.Generator().manual_seed(11))
    x, y = x[perm], y[perm]
    n = 1500
    x = (x - x[:n].mean(0)) / x[:n].std(0).clamp_min(1e-6)

    model = Classifier(x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = OneCycleLR(optimizer, max_lr=5e-3, total_steps=EPOCHS * (n // BATCH + 1) + 1)

    def step(model, batch, optimizer, loss_fn):
        xb, yb = batch
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.detach()

    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(label_smoothing=0.05),
        "train": (x[:n], y[:n]),
        "valid": (x[n:], y[n:]),
        "optimizer": optimizer,
        "step": step,
        "batch_size": BATCH,
        "epochs": EPOCHS,
    }
