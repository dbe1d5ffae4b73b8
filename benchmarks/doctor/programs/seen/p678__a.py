"""Which digit, and who says it: one network, two heads, losses weighted by uncertainty (Kendall et al., 2018)."""
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from data_birch import spoken


class TwoHeads(nn.Module):
    """A token for each task in front of 24 pieces of the spectrogram."""

    def __init__(self, d=40):
        super().__init__()
        self.pieces = nn.Linear(40, d)
        self.tasks = nn.Parameter(torch.randn(2, d) * 0.1)
        self.position = nn.Parameter(torch.randn(24, d) * 0.1)
        layer = nn.TransformerEncoderLayer(d, 4, 80, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
        self.digit = nn.Linear(d, 10)
        self.speaker = nn.Linear(d, 3)
        self.log_var = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        x = self.pieces(x[:, :48].reshape(len(x), 24, 40)) + self.position
        h = self.body(torch.cat([self.tasks.expand(len(x), 2, -1), x], dim=1))
        return self.digit(h[:, 0]), self.speaker(h[:, 1])


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
    x = torch.tensor(x)
    x = (x - x[~held].mean((0, 1))) / x[~held].std((0, 1))
    parts = x, torch.tensor(digit), torch.tensor(speaker)
    train, valid = (TensorDataset(*(p[rows] for p in parts)) for rows in (~held, held))
    net = TwoHeads()
    return {"network": net, "objective": objective, "evaluate": evaluate,
            "train": DataLoader(train, batch_size=32, shuffle=True), "valid": DataLoader(valid, batch_size=64),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=2e-3), "batch_size": 32, "epochs": 13}
