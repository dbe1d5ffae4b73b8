"""Near-infrared spectra of meat, squeezed into six numbers by an autoencoder with tied weights."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data import table


class TiedAutoencoder(nn.Module):
    def __init__(self, n_in=100, n_hidden=32, n_code=6):
        super().__init__()
        self.w1 = nn.Parameter(nn.init.orthogonal_(torch.empty(n_hidden, n_in)))
        self.w2 = nn.Parameter(nn.init.orthogonal_(torch.empty(n_code, n_hidden)))
        self.b1, self.b2 = nn.Parameter(torch.zeros(n_hidden)), nn.Parameter(torch.zeros(n_code))
        self.c1, self.c0 = nn.Parameter(torch.zeros(n_hidden)), nn.Parameter(torch.zeros(n_in))

    def encode(self, x):
        return F.linear(F.elu(F.linear(x, self.w1, self.b1)), self.w2, self.b2)

    def decode(self, code):
        return F.linear(F.elu(F.linear(code, self.w2.t(), self.c1)), self.w1.t(), self.c0)

    def forward(self, x):
        return self.decode(self.encode(x))


def build(seed=0):
    torch.manual_seed(seed)
    spectra = table("meats").filter(like="x_").to_numpy(np.float32)
    spectra = spectra[np.random.default_rng(seed).permutation(len(spectra))]
    x = torch.from_numpy(spectra - spectra.mean(1, keepdims=True))  # the offset of a spectrum is a matter of the probe
    x = (x - x[:160].mean(0)) / x[:160].std(0)
    model = TiedAutoencoder()
    return dict(network=model, loss=nn.MSELoss(), train=(x[:160], x[:160]), valid=(x[160:], x[160:]),
                optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3), batch_size=16, epochs=120)
