"""Neural collaborative filtering (He et al., 2017) on explicit ratings: a factor path and an MLP path, joined."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from data_birch import films

config = {"factors": 8, "mlp": (16, 32, 16), "lr": 2e-3, "batch": 256, "epochs": 4}


class NeuMF(nn.Module):
    def __init__(self, num_users, num_items, cfg):
        super().__init__()
        self.gmf_user = nn.Embedding(num_users, cfg["factors"])
        self.gmf_item = nn.Embedding(num_items, cfg["factors"])
        self.mlp_user = nn.Embedding(num_users, cfg["mlp"][0])
        self.mlp_item = nn.Embedding(num_items, cfg["mlp"][0])
        for table in (self.gmf_user, self.gmf_item, self.mlp_user, self.mlp_item):
            nn.init.normal_(table.weight, std=0.1)
        layers = []
        sizes = (2 * cfg["mlp"][0],) + cfg["mlp"][1:]
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers)
        self.affine_output = nn.Linear(sizes[-1] + cfg["factors"], 1)
        self.logistic = nn.Sigmoid()

    def forward(self, pair):
        user, item = pair[:, 0], pair[:, 1]
        gmf = self.gmf_user(user) * self.gmf_item(item)
        mlp = self.mlp(torch.cat([self.mlp_user(user), self.mlp_item(item)], dim=-1))
        rating = self.logistic(self.affine_output(torch.cat([gmf, mlp], dim=-1)))
        return rating.squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    user, film, stars, _ = films(least=50)
    order = np.random.default_rng(9).permutation(len(user))[:30000]
    pairs = torch.tensor(np.stack([user, film], 1)[order])
    stars = torch.tensor(stars[order])
    cut = 26000
    net = NeuMF(int(user.max()) + 1, int(film.max()) + 1, config)
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": DataLoader(TensorDataset(pairs[:cut], stars[:cut]), batch_size=config["batch"], shuffle=True),
        "valid": DataLoader(TensorDataset(pairs[cut:], stars[cut:]), batch_size=1000),
        "optimizer": torch.optim.Adam(net.parameters(), lr=config["lr"], weight_decay=1e-5),
        "batch_size": config["batch"],
        "epochs": config["epochs"],
    }
