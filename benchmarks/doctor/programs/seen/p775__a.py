"""A convolutional VAE on digits with KL warm-up and free bits (Kingma et al. 2016)."""
import torch
import torch.nn as nn
from data import mnist


class ConvVAE(nn.Module):
    def __init__(self, latent=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.SiLU(),
                                     nn.Flatten(), nn.Linear(16 * 49, 2 * latent))
        self.expand = nn.Linear(latent, 16 * 49)
        self.decoder = nn.Sequential(nn.SiLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.SiLU(),
                                     nn.ConvTranspose2d(8, 1, 4, 2, 1))

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2) if self.training else mu
        logits = self.decoder(self.expand(z).view(-1, 16, 7, 7))
        if self.training:
            return logits, mu, logvar
        return torch.sigmoid(logits)


class Objective:
    def __init__(self, warm_up=150, free_bits=0.1):
        self.seen, self.warm_up, self.free_bits = 0, warm_up, free_bits

    def __call__(self, network, batch):
        x = batch[0]
        if not network.training:
            return nn.functional.mse_loss(network(x), x)
        self.seen += 1
        beta = min(1.0, self.seen / self.warm_up)
        logits, mu, logvar = network(x)
        nll = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(0)
        return nll + beta * kl.clamp_min(self.free_bits).sum()


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = mnist(1500, 400)
    x, xv = (torch.from_numpy(a).float().unsqueeze(1) / 255 for a in (x, xv))
    net = ConvVAE()
    return {"network": net, "objective": Objective(), "train": (x, x), "valid": (xv, xv),
            "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3), "batch_size": 40, "epochs": 12}
