"""Letters from sixteen integer features (Frey and Slate)."""
import torch
import torch.nn as nn

from data import table


def make_net(width=64, depth=7, n_classes=26):
    net = nn.Sequential()
    size = 16
    for k in range(depth):
        net.add_module(f"linear{k}", nn.Linear(size, width))
        net.add_module(f"act{k}", nn.ELU())
        size = width
    net.add_module("scores", nn.Linear(size, n_classes))
    return net


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition").iloc[:8000]
    features = torch.tensor(frame.iloc[:, 1:].values, dtype=torch.float32)
    features = (features - 7) / 2.5
    letters = torch.tensor([ord(c) - ord("A") for c in frame["lettr"]])
    net = make_net()
    return {
        "network": net,
        "loss": nn.CrossEntropyLoss(),
        "train": (features[:6500], letters[:6500]),
        "valid": (features[6500:], letters[6500:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 64,
        "epochs": 12,
    }
