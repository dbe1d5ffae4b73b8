"""Riders of the L: a GRU trained on pieces of ten days, its state carried (detached) from piece to piece."""
import torch
import torch.nn as nn
from data import series


class Carrier(nn.Module):
    def __init__(self, d, hidden=24):
        super().__init__()
        self.cell = nn.GRU(d, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x, state=None, full=False):
        h, state = self.cell(x, state)
        y = self.out(h)
        return (y, state) if full else y


def step(network, batch, optimizer, loss):
    x, y = batch
    state = None
    for piece_x, piece_y in zip(x.split(10, dim=1), y.split(10, dim=1)):
        optimizer.zero_grad()
        out, state = network(piece_x, state, full=True)
        loss(out, piece_y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        state = state.detach()


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")[["ridership", "Clark_Lake", "Harlem"]].iloc[:3001]
    v = torch.tensor(df.to_numpy(), dtype=torch.float32)
    v = (v - v[:2200].mean(0)) / v[:2200].std(0)
    x, y = v[:-1].view(-1, 60, 3), v[1:, :1].view(-1, 60, 1)
    net = Carrier(3)
    return dict(network=net, loss=nn.MSELoss(), train=(x[:37], y[:37]), valid=(x[37:], y[37:]), step=step,
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=8, epochs=20)
