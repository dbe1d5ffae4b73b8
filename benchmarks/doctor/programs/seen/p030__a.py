"""Price of a house from raw square feet: a linear model and SGD."""
import torch
from torch import nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("ames").sample(1500, random_state=1)
    x = torch.tensor(df[["Gr_Liv_Area", "Total_Bsmt_SF", "Garage_Area"]].to_numpy(), dtype=torch.float32)
    y = torch.tensor(df["Sale_Price"].to_numpy() / 1000.0, dtype=torch.float32).unsqueeze(1)
    net = nn.Linear(3, 1)
    # features are in square feet (around 1000), so the step must be small
    optimizer = torch.optim.SGD(net.parameters(), lr=2e-7, momentum=0.9)
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:1100], y[:1100]), "valid": (x[1100:], y[1100:]),
            "optimizer": optimizer, "batch_size": 50, "epochs": 40}
