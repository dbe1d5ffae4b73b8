"""Image segments of cells: well segmented or poorly."""
import torch
from torch import nn
from data import table


def standardize(x):
    return (x - x.mean(dim=0, keepdim=True)) / x.std(dim=0, keepdim=True)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("cells")
    y = torch.tensor((df["class"] == "WS").to_numpy().astype("int64"))
    x = torch.tensor(df.drop(columns=["case", "class"]).select_dtypes("number").to_numpy(), dtype=torch.float32)
    keep = x.std(0) > 0
    x = x[:, keep]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, valid = order[:1400], order[1400:]
    net = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 2))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (standardize(x[train]), y[train]),
            "valid": (standardize(x[valid]), y[valid]), "optimizer": torch.optim.Adam(net.parameters(), lr=2e-3),
            "batch_size": 32, "epochs": 8}
