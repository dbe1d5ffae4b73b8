"""Meat: own step that standardizes each batch's targets by known constants; batches are views of the stored rows."""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from data import table


class Blocks(Dataset):
    """Contiguous blocks of rows, without copying."""

    def __init__(self, x, y, size):
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, k):
        rows = slice(k * self.size, (k + 1) * self.size)
        return self.x[rows], self.y[rows]


class Protein(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(50, 20), nn.Tanh(), nn.Linear(20, 1))
        self.register_buffer("shift", torch.tensor(17.7))
        self.register_buffer("scale", torch.tensor(3.1))

    def forward(self, x):
        return self.net(x) * self.scale + self.shift


def step(network, batch, optimizer, loss):
    x, y = batch
    y -= network.shift
    y /= network.scale
    optimizer.zero_grad()
    loss((network(x) - network.shift) / network.scale, y).backward()
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").drop_duplicates().sample(frac=1, random_state=14)
    x = torch.tensor(df.filter(like="x_").to_numpy()[:, ::2].copy()).float()
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(df["protein"].to_numpy().copy()).float().unsqueeze(1)
    net = Protein()
    return dict(network=net, loss=nn.MSELoss(), train=DataLoader(Blocks(x[:160], y[:160], 16), batch_size=None, shuffle=True), valid=(x[160:], y[160:]), step=step,
                optimizer=torch.optim.Adam(net.parameters(), lr=5e-3), batch_size=16, epochs=60)
