"""Ridership of Chicago's Clinton station tomorrow, with an interval: pinball loss at 10, 50 and 90 per cent."""
import torch
from torch import nn

from data import series

QUANTILES = torch.tensor([0.1, 0.5, 0.9])
BACK = 14


def pinball(forecast, y):
    """forecast (B, 3), y (B, 1): every quantile is compared with the same value."""
    error = y - forecast
    return torch.maximum(QUANTILES * error, (QUANTILES - 1) * error).mean()


class IntervalLSTM(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.middle = nn.Linear(hidden, 1)
        self.spread = nn.Linear(hidden, 2)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        middle = self.middle(h[-1])
        down, up = nn.functional.softplus(self.spread(h[-1])).chunk(2, dim=1)
        return torch.cat([middle - down, middle, middle + up], dim=1)


def skill(network, valid):
    """1 less the ratio of the pinball loss to that of the overall quantiles."""
    network.eval()
    x, y = valid
    with torch.no_grad():
        plain = torch.quantile(y, QUANTILES)
        return 1 - float(pinball(network(x), y) / pinball(plain.expand(len(y), 3), y))


def build(seed=0):
    torch.manual_seed(seed)
    values = torch.tensor(series("chicago_ridership_daily")["Clinton"].to_numpy(), dtype=torch.float32)[3000:]
    cut = 1900
    values = (values - values[:cut].mean()) / values[:cut].std()
    x = values.unfold(0, BACK + 1, 1)
    x, y = x[:, :BACK].unsqueeze(2).contiguous(), x[:, BACK:].contiguous()
    net = IntervalLSTM()
    return {
        "network": net,
        "loss": pinball,
        "evaluate": skill,
        "train": (x[:cut - BACK], y[:cut - BACK]),
        "valid": (x[cut:], y[cut:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
        "batch_size": 64,
        "epochs": 20,
    }
