"""GAN on the pixels of small digits (zeros and ones only)."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits

Z = 10


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen = nn.Sequential(nn.Linear(Z, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())
        self.dis = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(64, 1))

    def forward(self, x):
        return self.dis(x).squeeze(1)


def evaluate(network, valid):
    """Mean and spread of each pixel against the held-out digits, negative distance."""
    was = network.training
    network.eval()
    with torch.no_grad():
        fake = network.gen(torch.randn(300, Z, generator=torch.Generator().manual_seed(0)))
    network.train(was)
    real = valid[0]
    return -float((fake.mean(0) - real.mean(0)).norm() + (fake.std(0) - real.std(0)).norm())


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x = torch.tensor(d.data[d.target < 2] / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    net = GAN()
    opt_d = torch.optim.Adam(net.dis.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(net.gen.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def step(network, batch, optimizer, loss):
        x = batch[0]
        fake = network.gen(torch.randn(len(x), Z))
        opt_d.zero_grad()
        (loss(network(x), torch.full((len(x),), 0.9)) + loss(network(fake.detach()), torch.zeros(len(x)))).backward()
        opt_d.step()
        opt_g.zero_grad()
        loss(network(fake), torch.ones(len(x))).backward()
        opt_g.step()

    return {"network": net, "loss": F.binary_cross_entropy_with_logits, "train": (x[:280], torch.ones(280)), "valid": (x[280:], torch.ones(len(x) - 280)),
            "optimizer": opt_g, "batch_size": 28, "epochs": 80, "step": step, "evaluate": evaluate}
