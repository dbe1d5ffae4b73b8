"""A denoising autoencoder with a binary code (straight-through)."""
import torch
from torch import nn
from sklearn.datasets import load_digits


class BinaryAE(nn.Module):
    def __init__(self, bits=24):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, bits))
        self.dec = nn.Sequential(nn.Linear(bits, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())

    def forward(self, x):
        soft = torch.sigmoid(self.enc(x))
        hard = (soft > 0.5).float()
        return self.dec(soft + (hard - soft).detach())


def objective(network, batch):
    clean = batch[0]
    noisy = clean + 0.1 * torch.randn_like(clean)
    return ((network(noisy) - clean) ** 2).sum(1).mean()


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    x = valid[0]
    return 1 - float(((network(x) - x) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(8))]
    net = BinaryAE()
    return {"network": net, "objective": objective, "evaluate": evaluate, "train": (x[:1400], x[:1400]),
            "valid": (x[1400:], x[1400:]), "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 40, "epochs": 15}
