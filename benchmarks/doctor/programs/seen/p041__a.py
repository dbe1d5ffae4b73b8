"""Clothes, a small convolutional network with batch normalization."""
import torch
import torch.nn as nn
from data import fashion

config = {"lr": 2e-6, "batch_size": 64, "epochs": 5, "width": 12}


class ConvBlock(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.BatchNorm2d(o), nn.ReLU())


def build(seed=0):
    torch.manual_seed(seed)
    w = config["width"]
    x, y, xv, yv = fashion(2500, 800)
    x, xv = (torch.tensor(a)[:, None].float() / 255 for a in (x, xv))
    net = nn.Sequential(ConvBlock(1, w), ConvBlock(w, 2 * w), nn.Flatten(), nn.Linear(2 * w * 49, 10))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)), "valid": (xv, torch.tensor(yv)),
            "optimizer": torch.optim.Adam(net.parameters(), lr=config["lr"]), "batch_size": config["batch_size"],
            "epochs": config["epochs"]}
