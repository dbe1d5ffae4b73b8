"""Which customers leave? Telephone contracts (mlc_churn), numbers plus one category.

Calls to the service desk (0, 1, 2, ... 9) get an embedding: the effect is anything but a straight line.
"""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from data import table

NUMBERS = ["account_length", "number_vmail_messages", "total_day_minutes", "total_day_calls", "total_eve_minutes",
           "total_eve_calls", "total_night_minutes", "total_night_calls", "total_intl_minutes", "total_intl_calls"]
FLAGS = ["international_plan", "voice_mail_plan"]
CATEGORIES = ["number_customer_service_calls"]


class Customers(Dataset):
    def __init__(self, frame, mean, std):
        flags = (frame[FLAGS] == "yes").to_numpy(np.float32)
        numbers = ((frame[NUMBERS] - mean) / std).to_numpy(np.float32)
        codes = frame[CATEGORIES].to_numpy(np.float32)
        self.x = torch.from_numpy(np.concatenate([codes, flags, numbers], 1))
        self.y = torch.from_numpy((frame["churn"] == "yes").to_numpy(np.float32))

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class ChurnNet(nn.Module):
    def __init__(self, n_cat, n_num, width=64):
        super().__init__()
        self.n_cat = n_cat
        self.embed = nn.Embedding(10, width)
        self.dense = nn.Sequential(nn.Linear(n_num, width), nn.ReLU(), nn.Linear(width, width))
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.4), nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        codes, numbers = x[:, : self.n_cat].long(), x[:, self.n_cat :]
        dense = self.dense(numbers)
        h = self.embed(codes) + dense
        return self.head(h.mean(1)).squeeze(-1)  # mean over the categories


def build(seed=0):
    torch.manual_seed(seed)
    df = table("mlc_churn").sample(frac=1.0, random_state=11)
    df, rest = df.iloc[:3500], df.iloc[3500:]
    mean, std = df[NUMBERS].mean(), df[NUMBERS].std()
    model = ChurnNet(len(CATEGORIES), len(NUMBERS) + len(FLAGS))
    return dict(
        network=model,
        loss=nn.BCEWithLogitsLoss(),
        train=DataLoader(Customers(df, mean, std), batch_size=50, shuffle=True),
        valid=DataLoader(Customers(rest, mean, std), batch_size=500),
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05),
        batch_size=50,
        epochs=12,
    )
