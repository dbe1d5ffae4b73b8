"""Same kind of clothes or not? Pairs of pictures, one tower, cosine embedding loss."""
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset
from sklearn.metrics import roc_auc_score
from data import fashion


class Pairs(Dataset):
    """Half of the pairs are of one class."""

    def __init__(self, x, y, n, seed):
        self.x = torch.tensor(x).float().div(255).sub(0.29).div(0.35).unsqueeze(1)
        g = torch.Generator().manual_seed(seed)
        y = torch.tensor(y)
        first = torch.randint(len(y), (n,), generator=g)
        second = torch.randint(len(y), (n,), generator=g)
        for k in range(0, n, 2):
            alike = torch.nonzero(y == y[first[k]])[:, 0]
            second[k] = alike[torch.randint(len(alike), (1,), generator=g)]
        self.pairs = torch.stack([first, second], 1)
        self.same = (y[first] == y[second]).float()

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, k):
        return self.x[self.pairs[k]], self.same[k]


class Tower(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2), nn.ReLU(), nn.Flatten(),
                               nn.Linear(256, d))

    def forward(self, pair):
        return self.f(pair[:, 0]), self.f(pair[:, 1])


criterion = nn.CosineEmbeddingLoss(margin=0.2)


def pair_loss(network, batch):
    pair, same = batch
    left, right = network(pair)
    return criterion(left, right, same)


def evaluate(network, valid):
    network.eval()
    with torch.no_grad():
        found = [(torch.cosine_similarity(*network(pair)), same) for pair, same in valid]
    return roc_auc_score(torch.cat([s for _, s in found]), torch.cat([c for c, _ in found]))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(1500, 600)
    net = Tower()
    g = torch.Generator().manual_seed(seed)
    return {"network": net, "objective": pair_loss, "evaluate": evaluate,
            "train": DataLoader(Pairs(x, y, 2400, 1), batch_size=40, shuffle=True, generator=g),
            "valid": DataLoader(Pairs(xv, yv, 800, 2), batch_size=100), "batch_size": 40, "epochs": 5,
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3)}
