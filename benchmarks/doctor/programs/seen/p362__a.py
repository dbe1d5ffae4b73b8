"""Denoise clothes at 14x14: encoder and decoder, each with an optimizer and a rate of its own."""
import torch
import torch.nn as nn
from data import fashion


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ELU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ELU(), nn.Flatten(), nn.Linear(256, 24))

    def forward(self, x):
        return self.seq(x)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = nn.Sequential(nn.Linear(24, 96), nn.ELU(), nn.Linear(96, 196))

    def forward(self, h):
        return self.seq(h).view(-1, 1, 14, 14)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, x):
        return self.decoder(self.encoder(x))


def build(seed=0):
    torch.manual_seed(seed)
    x, _, xv, _ = fashion(2500, 500)
    clean, clean_v = (nn.functional.avg_pool2d(torch.tensor(a).float().unsqueeze(1) / 128 - 0.6, 2) for a in (x, xv))
    noisy, noisy_v = (c + 0.2 * torch.randn(c.shape, generator=torch.Generator().manual_seed(4)) for c in (clean, clean_v))
    net = Denoiser()
    encoder_optimizer = torch.optim.Adam(net.encoder.parameters(), lr=1e-3)
    decoder_optimizer = torch.optim.Adam(net.decoder.parameters(), lr=2e-3)

    def train_step(network, batch, optimizer, criterion):
        inputs, targets = batch
        encoder_optimizer.zero_grad()
        decoder_optimizer.zero_grad()
        loss = criterion(network(inputs), targets)
        loss.backward()
        encoder_optimizer.step()
        decoder_optimizer.step()
        return loss.item()

    return {"network": net, "loss": nn.MSELoss(), "step": train_step, "train": (noisy, clean), "valid": (noisy_v, clean_v),
            "optimizer": encoder_optimizer, "batch_size": 50, "epochs": 6}
