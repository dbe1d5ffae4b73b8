"""An autoencoder for 8x8 digits; grey levels 0..16 as they come."""
import torch
from torch import nn
from sklearn.datasets import load_digits


class AutoEncoder(nn.Module):
    def __init__(self, code=12):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, code))
        self.decoder = nn.Sequential(nn.Linear(code, 48), nn.ReLU(), nn.Linear(48, 64))

    def forward(self, x):
        z = self.encoder(x / 16)
        return torch.tanh(self.decoder(z))


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(11))]
    ae = AutoEncoder()
    return dict(network=ae, loss=nn.MSELoss(), train=(x[:1300], x[:1300]), valid=(x[1300:], x[1300:]),
                optimizer=torch.optim.Adam(ae.parameters(), lr=2e-3), batch_size=32, epochs=15)
