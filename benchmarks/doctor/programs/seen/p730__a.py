"""Two properties of a molecule at once, weighted by learned uncertainties (Kendall, Gal and Cipolla)."""
import torch
from torch import nn
from torch.utils.data import DataLoader

from data_cedar import molecules


class TwoTasks(nn.Module):
    def __init__(self, n_chars, width=48):
        super().__init__()
        self.embed = nn.Embedding(n_chars + 1, 16, padding_idx=0)
        self.conv = nn.Sequential(nn.Conv1d(16, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 3, padding=1), nn.ReLU())
        self.area = nn.Linear(width, 1)
        self.rings = nn.Linear(width, 1)
        self.log_var = nn.Parameter(torch.zeros(2))

    def forward(self, ids):
        there = (ids > 0).unsqueeze(1).float()
        h = (self.conv(self.embed(ids).transpose(1, 2)) * there).sum(2) / 10.0
        return torch.cat([self.area(h), self.rings(h)], dim=1)


def objective(network, batch):
    ids, wanted = batch
    per_task = (network(ids) - wanted).square().mean(0)
    return (torch.exp(-network.log_var) * per_task + network.log_var).sum()


def r2_of_area(network, loader):
    network.eval()
    with torch.no_grad():
        pairs = [(network(ids)[:, 0], wanted[:, 0]) for ids, wanted in loader]
    out, wanted = (torch.cat(part) for part in zip(*pairs))
    return 1 - float((out - wanted).square().sum() / (wanted - wanted.mean()).square().sum())


def build(seed=0):
    torch.manual_seed(seed)
    df = molecules(2200, longest=50, seed=seed)
    chars = sorted(set("".join(df["smiles"])))
    ids = torch.zeros(len(df), 50, dtype=torch.long)
    for i, s in enumerate(df["smiles"]):
        ids[i, :len(s)] = torch.tensor([chars.index(c) + 1 for c in s])
    rings = df["smiles"].str.count(r"\d") / 2.0
    targets = torch.tensor(df.assign(rings=rings)[["tpsa", "rings"]].to_numpy(), dtype=torch.float32)
    n = 1800
    targets = (targets - targets[:n].mean(0)) / targets[:n].std(0)
    rows = list(zip(ids, targets))
    net = TwoTasks(len(chars))
    return dict(network=net, objective=objective, evaluate=r2_of_area,
                train=DataLoader(rows[:n], batch_size=30, shuffle=True), valid=DataLoader(rows[n:], batch_size=100),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3), batch_size=30, epochs=10)
