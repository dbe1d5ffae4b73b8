"""Which digit, and who says it: one network, two heads, losses weighted by uncertainty (Kendall et al., 2018)."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from data_birch import spoken


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(20, 40, 5, stride=2, padding=2), nn.GroupNorm(4, 40), nn.SiLU(),
            nn.Conv1d(40, 40, 5, stride=2, padding=2), nn.GroupNorm(4, 40), nn.SiLU(),
        )
        self.digit = nn.Linear(160, 10)
        self.speaker = nn.Linear(40, 3)
        self.log_var = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        h = self.body(x)
        return self.digit(F.adaptive_avg_pool1d(h[..., :12], 4).flatten(1)), self.speaker(h.mean(-1))


def objective(network, batch):
    x, digit, speaker = batch
    d, s = network(x)
    losses = torch.stack([F.cross_entropy(d, digit), F.cross_entropy(s, speaker)])
    return ((-network.log_var).exp() * losses + 0.5 * network.log_var).sum()


@torch.no_grad()
def evaluate(network, valid):
    """Share of the recordings with both answers right."""
    network.eval()
    right = count = 0
    for x, digit, speaker in valid:
        d, s = network(x)
        right += int(((d.argmax(1) == digit) & (s.argmax(1) == speaker)).sum())
        count += len(x)
    return right / count


def build(seed=0):
    torch.manual_seed(seed)
    x, _, digit, speaker, take = spoken()
    held = torch.tensor(take % 4 == 1)
    x = torch.tensor(x).transpose(1, 2)
    x = (x - x[~held].mean((0, 2), keepdim=True)) / x[~held].std((0, 2), keepdim=True)
    parts = x, torch.tensor(digit), torch.tensor(speaker)
    train, valid = (TensorDataset(*(p[rows] for p in parts)) for rows in (~held, held))
    net = TwoHeads()
    return {"network": net, "objective": objective, "evaluate": evaluate,
            "train": DataLoader(train, batch_size=32, shuffle=True), "valid": DataLoader(valid, batch_size=64),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=3e-3), "batch_size": 32, "epochs": 14}
