"""Two views of a picture should agree (SimSiam); judged by the nearest neighbours of the codes."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class SimSiam(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 5, stride=2), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Flatten(), nn.Linear(24 * 16, width), nn.BatchNorm1d(width, affine=False),
        )
        self.predictor = nn.Sequential(nn.Linear(width, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, width))

    def forward(self, x):
        return self.encoder(x)


def view(x):
    """Shift, scale of brightness, a hole."""
    n = len(x)
    dx, dy = torch.randint(-3, 4, (2,)).tolist()
    x = torch.roll(x, (dx, dy), (2, 3)) * (0.6 + 0.8 * torch.rand(n, 1, 1, 1))
    r, c = torch.randint(0, 20, (2,)).tolist()
    x[:, :, r : r + 8, c : c + 8] = 0
    return x + 0.05 * torch.randn_like(x)


def agreement(p, z):
    return -F.cosine_similarity(p, z.detach(), dim=1).mean()


def objective(network, batch):
    a, b = view(batch[0]), view(batch[0])
    za, zb = network(a), network(b)
    return 0.5 * agreement(network.predictor(za), zb) + 0.5 * agreement(network.predictor(zb), za)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 500)
    x, xv = (torch.tensor(a).float().unsqueeze(1) / 255 for a in (x, xv))
    y, yv = torch.tensor(y), torch.tensor(yv)
    net = SimSiam()

    def nearest(network, valid):
        network.eval()
        with torch.no_grad():
            bank, asked = F.normalize(network(x), dim=1), F.normalize(network(valid[0]), dim=1)
        votes = y[(asked @ bank.T).topk(5, dim=1).indices]
        return (votes.mode(dim=1).values == valid[1]).float().mean().item()

    return {"network": net, "objective": objective, "train": (x, y), "valid": (xv, yv), "batch_size": 50, "epochs": 6,
            "optimizer": torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4),
            "evaluate": nearest}
