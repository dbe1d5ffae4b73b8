"""Self-normalizing network (Klambauer et al., 2017) on printed letters: eight SELU layers."""
import torch
from torch import nn

from data import table


def lecun_normal_(linear):
    nn.init.normal_(linear.weight, std=linear.in_features ** -0.5)
    nn.init.zeros_(linear.bias)
    return linear


def snn(n_in, n_out, width=48, depth=8, rate=0.02):
    layers = []
    for i in range(depth):
        layers += [lecun_normal_(nn.Linear(n_in if i == 0 else width, width)), nn.SELU(), nn.AlphaDropout(rate)]
    return nn.Sequential(*layers, lecun_normal_(nn.Linear(width, n_out)))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition").sample(n=6000, random_state=4)
    y = torch.tensor(frame.pop("lettr").astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(frame.to_numpy(), dtype=torch.float32)
    x = (x - x[:4000].mean(0)) / x[:4000].std(0)
    net = snn(x.shape[1], 26)
    return {
        "network": net, "loss": nn.CrossEntropyLoss(),
        "train": (x[:4000], y[:4000]), "valid": (x[4000:], y[4000:]),
        "optimizer": torch.optim.SGD(net.parameters(), lr=0.05),
        "batch_size": 40, "epochs": 12,
    }
