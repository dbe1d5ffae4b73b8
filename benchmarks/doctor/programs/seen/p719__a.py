"""Caravan insurance (CoIL 2000): who buys a policy? Six in a hundred do, so the buyers are oversampled."""
import numpy as np
import pandas as pd
import torch
import torch.nn as nn

from data import table

RATIO = 8


def read(seed):
    df = table("ticdata_caravan").sample(n=9800, random_state=seed)
    for name in df.columns[:-1]:
        if not pd.api.types.is_numeric_dtype(df[name]):
            df[name] = df[name].astype("category").cat.codes.astype("float32")
    df["CARAVAN"] = (df["CARAVAN"] == "insurance").astype("float32")
    return df.reset_index(drop=True)


def oversample(frame):
    buyers = frame[frame["CARAVAN"] == 1]
    more = pd.concat([frame] + [buyers] * (RATIO - 1))
    return more.sample(frac=1.0, random_state=7)


def split(frame, share=0.75):
    cut = int(share * len(frame))
    return frame.iloc[:cut], frame.iloc[cut:]


def prepare(frame):
    return split(oversample(frame))


def build(seed=0):
    torch.manual_seed(seed)
    parts = []
    train, test = prepare(read(seed))
    mean, std = train.mean(), train.std() + 1e-6
    for part in (train, test):
        z = ((part - mean) / std).drop(columns="CARAVAN").clip(-8, 8)
        x = torch.tensor(z.to_numpy(np.float32))
        parts.append((x, torch.tensor(part["CARAVAN"].to_numpy(np.float32)).unsqueeze(1)))
    model = nn.Sequential(nn.Linear(85, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 1))
    return {
        "network": model,
        "loss": nn.BCEWithLogitsLoss(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3),
        "train": parts[0],
        "valid": parts[1],
        "batch_size": 64,
        "epochs": 6,
    }
