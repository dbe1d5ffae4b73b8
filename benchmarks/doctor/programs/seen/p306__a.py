"""VQ-VAE in miniature: clothes as sixteen words out of a book of 48."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion


class Quantizer(nn.Module):
    def __init__(self, words, dim, beta=0.25):
        super().__init__()
        self.book = nn.Embedding(words, dim)
        nn.init.uniform_(self.book.weight, -0.5, 0.5)
        self.beta = beta

    def forward(self, z):
        distance = (z.pow(2).sum(-1, keepdim=True) - 2 * z @ self.book.weight.T + self.book.weight.pow(2).sum(-1))
        q = self.book(distance.argmin(-1))
        penalty = F.mse_loss(q, z.detach()) + self.beta * F.mse_loss(z, q.detach())
        q = z + (q - z).detach()
        return q, penalty


class VQ(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, dim, 3, 2, 1))
        self.vq = Quantizer(48, dim)
        self.up = nn.Sequential(nn.ConvTranspose2d(dim, 16, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 4))

    def forward(self, x):
        z = self.down(x).permute(0, 2, 3, 1)
        q, self.penalty = self.vq(z)
        return self.up(q.permute(0, 3, 1, 2))


def objective(network, batch):
    x, _ = batch
    return F.mse_loss(network(x), x) + network.penalty


def evaluate(network, valid):
    network.eval()
    with torch.no_grad():
        return -F.mse_loss(network(valid[0]), valid[0]).item()


def prepare(images):
    return torch.tensor(images)[:, None].float() / 127.5 - 1


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(1600, 400)
    model = VQ()
    return {"network": model, "objective": objective, "train": (prepare(x), torch.tensor(y)),
            "valid": (prepare(xv), torch.tensor(yv)), "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3),
            "batch_size": 32, "epochs": 8, "evaluate": evaluate}
