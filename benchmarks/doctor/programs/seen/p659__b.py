"""Customer churn. The leavers are one in seven, so they are resampled to balance the table."""
import pandas as pd
import torch
import torch.nn as nn
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample
from data import table


def balance(frame):
    stay, leave = frame[frame["churn"] == 0], frame[frame["churn"] == 1]
    more = resample(leave, replace=True, n_samples=len(stay), random_state=42)
    return pd.concat([stay, more]).sample(frac=1.0, random_state=7)


def load():
    frame = table("mlc_churn").drop(columns=["state", "area_code"])[:2500]
    for column in ("international_plan", "voice_mail_plan", "churn"):
        frame[column] = (frame[column] == "yes").astype(int)
    train, test = train_test_split(frame, test_size=0.25, random_state=42)
    train = balance(train)
    scaler = StandardScaler().fit(train.drop(columns="churn"))
    return [(torch.tensor(scaler.transform(part.drop(columns="churn"))).float(),
             torch.tensor(part["churn"].values).float().unsqueeze(1)) for part in (train, test)]


class ChurnNet(nn.Module):
    def __init__(self, n_in, width=96):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_in, width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, 1),
        )

    def forward(self, x):
        return self.layers(x)


def build(seed=0):
    torch.manual_seed(seed)
    train, test = load()
    net = ChurnNet(train[0].shape[1])
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": train, "valid": test,
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3), "batch_size": 32, "epochs": 25}
