"""A small VQ-VAE on clothes: each 7x7 cell of the picture becomes one of 32 codes."""
import torch
import torch.nn.functional as F
from torch import nn

from data import fashion


class VectorQuantizer(nn.Module):
    def __init__(self, codes=32, dim=8, commitment=0.25):
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)
        nn.init.normal_(self.codebook.weight, std=0.7)
        self.commitment = commitment

    def forward(self, z):
        b, d, h, w = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, d)
        with torch.no_grad():
            nearest = torch.cdist(flat, self.codebook.weight).argmin(dim=1)
        q = self.codebook(nearest).view(b, h, w, d).permute(0, 3, 1, 2)
        loss = F.mse_loss(q, z.detach()) + self.commitment * F.mse_loss(z, q.detach())
        return z + (q - z).detach(), loss


class VQVAE(nn.Module):
    def __init__(self, width=24, dim=8):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(width, dim, 1), nn.BatchNorm2d(dim))
        self.quantizer = VectorQuantizer(dim=dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, width, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1))

    def forward(self, x):
        q, vq_loss = self.quantizer(self.encoder(x))
        return self.decoder(q), vq_loss


def objective(model, batch):
    x = batch[0]
    recon, vq_loss = model(x)
    return F.mse_loss(recon, x) / 0.09 + vq_loss


def evaluate(model, valid):
    model.eval()
    with torch.no_grad():
        recon, _ = model(valid[0])
    return -F.mse_loss(recon, valid[0]).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 400)
    x, xv = (torch.from_numpy(a).float().div(255).unsqueeze(1) for a in (x, xv))
    model = VQVAE()
    return {"network": model, "objective": objective, "evaluate": evaluate, "train": (x, torch.from_numpy(y)),
            "valid": (xv, torch.from_numpy(yv)), "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3), "batch_size": 40, "epochs": 5}
