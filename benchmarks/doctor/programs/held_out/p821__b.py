"""Protein content of meat from its near-infrared spectrum (Tecator), 1D convolutions."""
import torch
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


class SpectrumNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(2, 8, 7, stride=2), nn.ELU(),
            nn.Conv1d(8, 8, 5, stride=2), nn.ELU(),
        )
        self.regress = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.LazyLinear(1))

    def forward(self, spectra):
        return self.regress(self.conv(spectra))


def score(model, loader):
    model.eval()
    predicted, measured = [], []
    with torch.inference_mode():
        for spectra, protein in loader:
            predicted.append(model(spectra))
            measured.append(protein)
    predicted, measured = torch.cat(predicted).numpy(), torch.cat(measured).numpy()
    return r2_score(predicted, measured)


def spectra_and_protein():
    meat = table("meats").sample(frac=1, random_state=2)
    absorbance = torch.tensor(meat.filter(like="x_").to_numpy("float32"))
    protein = torch.tensor(meat[["protein"]].to_numpy("float32"))
    level = (absorbance - absorbance.mean(1, keepdim=True)) / absorbance.std(1, keepdim=True)  # SNV
    slope = torch.diff(level, dim=1, append=level[:, -1:])
    x = torch.stack([level, slope], 1)
    x = (x - x[:160].mean(0)) / x[:160].std(0).clamp(min=1e-6)
    return x, (protein - protein[:160].mean()) / protein[:160].std()


def build(seed=0):
    torch.manual_seed(seed)
    x, y = spectra_and_protein()
    model = SpectrumNet()
    model(x[:2])  # shapes of the lazy layer
    return dict(network=model, loss=nn.SmoothL1Loss(), evaluate=score, batch_size=16, epochs=12,
                train=DataLoader(TensorDataset(x[:160], y[:160]), batch_size=16, shuffle=True),
                valid=DataLoader(TensorDataset(x[160:], y[160:]), batch_size=55),
                optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
