"""Log price of houses in Ames from thirteen categorical columns: one small embedding per column."""
import numpy as np
import torch
from torch import nn

from data import table

COLUMNS = ["Neighborhood", "MS_SubClass", "Overall_Cond", "Foundation", "Bsmt_Exposure", "Garage_Finish", "Heating_QC",
           "House_Style", "Exterior_1st", "BsmtFin_Type_1", "Kitchen_AbvGr", "Full_Bath", "Garage_Cars"]


class EntityEmbeddings(nn.Module):
    def __init__(self, cardinalities, width=2):
        super().__init__()
        self.tables = {name: nn.Embedding(n, width) for name, n in cardinalities.items()}
        self.mix = nn.Sequential(nn.Linear(width * len(cardinalities), 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, codes):
        found = [self.tables[name](codes[:, k]) for k, name in enumerate(COLUMNS)]
        return self.mix(torch.cat(found, dim=1)).squeeze(-1)


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("ames").sample(frac=1.0, random_state=11)
    codes = {c: frame[c].astype("category").cat for c in COLUMNS}
    x = torch.tensor(np.stack([codes[c].codes for c in COLUMNS], 1).astype(np.int64))
    price = torch.tensor(np.log(frame["Sale_Price"].to_numpy()), dtype=torch.float32)
    n = 2200
    price = (price - price[:n].mean()) / price[:n].std()
    net = EntityEmbeddings({c: len(codes[c].categories) for c in COLUMNS})
    return {
        "network": net,
        "loss": nn.MSELoss(),
        "train": (x[:n], price[:n]),
        "valid": (x[n:], price[n:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
        "batch_size": 64,
        "epochs": 15,
    }
