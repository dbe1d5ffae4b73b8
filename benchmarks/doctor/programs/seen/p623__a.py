"""Masked autoencoder (He et al., 2021) in miniature: clothes of 12x12 pixels, sixteen patches, seven of them hidden."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import fashion

N_PATCHES, KEEP = 16, 9


def patchify(x):
    return F.unfold(x, kernel_size=3, stride=3).transpose(1, 2)


def layer(dim):
    return nn.TransformerEncoderLayer(dim, nhead=4, dim_feedforward=2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)


class MAE(nn.Module):
    def __init__(self, dim=40):
        super().__init__()
        self.embed = nn.Linear(9, dim)
        self.pos = nn.Parameter(torch.randn(1, N_PATCHES, dim) * 0.1)
        self.encoder = layer(dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dec_pos = nn.Parameter(torch.randn(1, N_PATCHES, dim) * 0.1)
        self.decoder = layer(dim)
        self.to_pixels = nn.Linear(dim, 9)

    def forward(self, x, order):
        tokens = self.embed(patchify(x)) + self.pos
        index = order.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        visible = self.encoder(tokens.gather(1, index[:, :KEEP]))
        hidden = self.mask_token.expand(len(x), N_PATCHES - KEEP, -1)
        full = torch.zeros_like(tokens).scatter(1, index, torch.cat([visible, hidden], dim=1))
        return self.to_pixels(self.decoder(full + self.dec_pos))


def masked_error(model, x, order):
    wanted = patchify(x)
    error = (model(x, order) - wanted).pow(2).mean(-1)
    return error.gather(1, order[:, KEEP:]).mean()


def objective(model, batch):
    x, _ = batch
    return masked_error(model, x, torch.rand(len(x), N_PATCHES).argsort(1))


@torch.no_grad()
def evaluate(model, valid):
    model.eval()
    x, _ = valid
    order = torch.rand(len(x), N_PATCHES, generator=torch.Generator().manual_seed(0)).argsort(1)
    return -masked_error(model, x, order).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(a) for a in fashion(2000, 500))
    x, xv = (F.avg_pool2d(a[:, None, 2:26, 2:26] / 255, 2) for a in (x, xv))
    model = MAE()
    return {
        "network": model,
        "objective": objective,
        "evaluate": evaluate,
        "train": (x, y),
        "valid": (xv, yv),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.01),
        "batch_size": 32,
        "epochs": 6,
    }
