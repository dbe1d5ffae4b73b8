"""Who leaves the telephone company? One customer in seven; columns come as they are."""
import torch
import torch.nn as nn
from data import table

YES_NO = ["international_plan", "voice_mail_plan"]
DROP = ["state", "area_code", "churn"]


class Churn(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.scale = nn.BatchNorm1d(n_in)
        self.fc1 = nn.Linear(n_in, 48)
        self.fc2 = nn.Linear(48, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(self.scale(x)))
        x = torch.relu(self.fc2(x))
        return self.out(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("mlc_churn").drop_duplicates().sample(frac=1.0, random_state=12)
    df[YES_NO] = (df[YES_NO] == "yes").astype(float)
    y = torch.tensor((df["churn"] == "yes").to_numpy()).float().unsqueeze(1)
    x = torch.tensor(df.drop(columns=DROP).to_numpy(dtype="float32"))
    n = 3600
    pos_weight = (1 - y[:n]).sum() / y[:n].sum()
    model = Churn(x.shape[1])
    return {"network": model, "loss": nn.BCEWithLogitsLoss(pos_weight=pos_weight), "train": (x[:n], y[:n]),
            "valid": (x[n:], y[n:]), "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4),
            "batch_size": 100, "epochs": 15}
