"""Fat content of meat from its absorbance spectrum (Tecator). 1-d convolution over 100 channels."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data import table


class Spectra(Dataset):
    def __init__(self, frame, stats):
        s = frame.iloc[:, :100].to_numpy(np.float32)
        s = np.gradient(s, axis=1)  # slopes matter, offsets do not
        if stats is None:
            stats = s.mean(0), s.std(0), frame["fat"].mean(), frame["fat"].std()
        self.stats = stats
        self.s = ((s - stats[0]) / stats[1]).astype(np.float32)
        self.fat = ((frame["fat"] - stats[2]) / stats[3]).to_numpy(np.float32)

    def __len__(self):
        return len(self.s)

    def __getitem__(self, i):
        return self.s[i][None], self.fat[i]


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("meats").sample(frac=1.0, random_state=5)
    train = Spectra(frame.iloc[:160], None)
    valid = Spectra(frame.iloc[160:], train.stats)
    net = nn.Sequential(
        nn.Conv1d(1, 8, 7, stride=2), nn.ReLU(),
        nn.Conv1d(8, 16, 5, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 22, 32), nn.ReLU(), nn.Linear(32, 1),
    )
    return {
        "network": net, "loss": F.smooth_l1_loss,
        "train": DataLoader(train, batch_size=16, shuffle=True), "valid": DataLoader(valid, batch_size=55),
        "optimizer": torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-3),
        "batch_size": 16, "epochs": 100,
    }
