"""Ozone over Los Angeles from the weather of the day."""
import torch
import torch.nn as nn
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from data import table


class OzoneNet(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.hidden = nn.Linear(d, 24)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        return self.out(self.drop(torch.selu(self.hidden(x)))).flatten()


def score(model, data):
    X, y = data
    model.eval()
    with torch.inference_mode():
        prediction = model(X)
    return r2_score(prediction.numpy(), y.numpy())


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("Ozone").dropna(subset=["V4"]).sample(frac=1, random_state=0)
    y = frame.pop("V4").to_numpy()
    X = frame.drop(columns=["V2", "V3"]).to_numpy()
    prepare = make_pipeline(SimpleImputer(), StandardScaler()).fit(X[:260])
    X = torch.tensor(prepare.transform(X), dtype=torch.float32)
    y = torch.tensor((y - y[:260].mean()) / y[:260].std(), dtype=torch.float32)
    model = OzoneNet(X.shape[1])
    return {
        "network": model,
        "loss": nn.SmoothL1Loss(),
        "train": (X[:260], y[:260]),
        "valid": (X[260:], y[260:]),
        "optimizer": torch.optim.RMSprop(model.parameters(), lr=2e-3),
        "evaluate": score,
        "batch_size": 20,
        "epochs": 30,
    }
