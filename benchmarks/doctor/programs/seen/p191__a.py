"""Letters, a tenth of the training labels mistyped; smoothed targets."""
import numpy as np
import torch
import torch.nn as nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.default_rng(17)
    df = table("LetterRecognition").iloc[:5000]
    y = df["lettr"].map(lambda c: ord(c) - 65).to_numpy().astype(np.int64)
    x = torch.tensor(df.iloc[:, 1:].to_numpy(), dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    slips = rng.random(4000) < 0.1
    noisy = y[:4000].copy()
    noisy[slips] = rng.integers(0, 26, slips.sum())
    net = nn.Sequential(nn.Linear(16, 96), nn.ReLU(), nn.Linear(96, 26))
    return {"network": net, "loss": nn.CrossEntropyLoss(label_smoothing=0.1), "train": (x[:4000], torch.tensor(noisy)),
            "valid": (x[4000:], torch.tensor(y[4000:])), "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
            "batch_size": 64, "epochs": 12}
