"""Two tasks for one network: a house's price, and its style (one storey, two storeys, ...)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from data import table

NUMERIC = ["Lot_Area", "Year_Built", "First_Flr_SF", "Second_Flr_SF", "Total_Bsmt_SF", "Gr_Liv_Area", "Full_Bath", "Half_Bath",
           "Bedroom_AbvGr", "TotRms_AbvGrd", "Garage_Cars", "Garage_Area", "Wood_Deck_SF", "Open_Porch_SF"]
STYLES = ["One_Story", "Two_Story", "One_and_Half_Fin", "SLvl", "SFoyer"]


class Output(NamedTuple):
    price: Tensor
    style: Tensor


class HouseNet(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(len(NUMERIC), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.price_head = nn.Linear(width, 1)
        self.style_head = nn.Linear(width, len(STYLES))

    def forward(self, x: Tensor) -> Output:
        h = self.trunk(x)
        return Output(self.price_head(h).squeeze(-1), self.style_head(h))


def objective(net: HouseNet, batch: list[Tensor]) -> Tensor:
    x, price, style = batch
    out = net(x)
    total = F.mse_loss(out.price, price)
    + 0.5 * F.cross_entropy(out.style, style)
    return total


@torch.no_grad()
def evaluate(net: HouseNet, loader: DataLoader) -> float:
    """Mean of R2 (price) and accuracy (style)."""
    net.eval()
    x, price, style = loader.dataset.tensors
    out = net(x)
    r2 = 1 - ((out.price - price) ** 2).sum() / ((price - price.mean()) ** 2).sum()
    accuracy = (out.style.argmax(1) == style).float().mean()
    return float((r2 + accuracy) / 2)


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    df = table("ames")
    df = df[df["House_Style"].isin(STYLES)].sample(frac=1.0, random_state=0)
    x = torch.tensor(df[NUMERIC].to_numpy(dtype="float32"))
    price = torch.tensor(df["Sale_Price"].to_numpy(dtype="float32")).log()
    style = torch.tensor([STYLES.index(s) for s in df["House_Style"]])
    n = 2200
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    price = (price - price[:n].mean()) / price[:n].std()
    net = HouseNet()
    return {
        "network": net,
        "objective": objective,
        "evaluate": evaluate,
        "train": DataLoader(TensorDataset(x[:n], price[:n], style[:n]), batch_size=32, shuffle=True),
        "valid": DataLoader(TensorDataset(x[n:], price[n:], style[n:]), batch_size=256),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3),
        "batch_size": 32,
        "epochs": 20,
    }
