"""Fill in missing measurements of a cell: a denoising autoencoder on 56 columns, a fifth of them masked."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from data import table


class MaskedRows(Dataset):
    """(row with some values at the mean, row)"""

    def __init__(self, rows, p=0.2):
        self.rows = rows
        self.p = p

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        noisy = self.rows[i].clone()
        noisy[torch.rand(noisy.shape) < self.p] = 0.0
        return noisy, self.rows[i]


class AutoEncoder(nn.Module):
    def __init__(self, n_features, code=12):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_features, 64),
            nn.ReLU(True),
            nn.Linear(64, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, 64),
            nn.ReLU(True),
            nn.Linear(64, n_features),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


def build(seed=0):
    torch.manual_seed(seed)
    cells = table("cells")
    train, test = cells[cells["case"] == "Train"], cells[cells["case"] == "Test"]
    columns = [c for c in cells.columns if c not in ("case", "class")]
    center, scale = train[columns].mean(), train[columns].std()
    x, xv = (torch.tensor(((part[columns] - center) / scale).clip(-4, 4).to_numpy(), dtype=torch.float32) for part in (train, test))
    keep = torch.rand(xv.shape, generator=torch.Generator().manual_seed(1)) >= 0.2
    model = AutoEncoder(len(columns))
    return {
        "network": model,
        "loss": nn.MSELoss(),
        "train": DataLoader(MaskedRows(x), batch_size=32, shuffle=True),
        "valid": DataLoader(TensorDataset(xv * keep, xv), batch_size=128),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5),
        "batch_size": 32,
        "epochs": 30,
    }
