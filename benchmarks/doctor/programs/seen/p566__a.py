"""Fat content of meat from its near-infrared spectrum (Tecator), 1-d convolutions."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import table


class Spectra(Dataset):
    """First derivative of the absorbance, standardized by wavelength; target: fat, standardized."""

    def __init__(self, frame, stats=None):
        absorbance = torch.tensor(frame.filter(like="x_").to_numpy(), dtype=torch.float32)
        slope = absorbance[:, 1:] - absorbance[:, :-1]
        fat = torch.tensor(frame["fat"].to_numpy(), dtype=torch.float32)
        self.stats = stats or (slope.mean(0), slope.std(0), fat.mean(), fat.std())
        m, s, fm, fs = self.stats
        self.spectrum = ((slope - m) / s).unsqueeze(1)
        self.fat = (fat - fm) / fs

    def __len__(self):
        return len(self.fat)

    def __getitem__(self, i):
        return self.spectrum[i], self.fat[i]


class SpectralCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, 8, 7, padding=3), nn.ELU(), nn.AvgPool1d(3),
                                  nn.Conv1d(8, 16, 5, padding=2), nn.ELU(), nn.AvgPool1d(3))
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(16 * 11, 32), nn.ELU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.fc(self.conv(x))


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("meats").sample(frac=1.0, random_state=2)
    train = Spectra(frame[:160])
    valid = Spectra(frame[160:], train.stats)
    net = SpectralCNN()
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
        "train": DataLoader(train, batch_size=16, shuffle=True),
        "valid": DataLoader(valid, batch_size=55),
        "batch_size": 16,
        "epochs": 40,
    }
