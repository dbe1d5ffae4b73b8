"""Customer churn with an unbalanced outcome (14 % leave). Balanced batches by a weighted sampler, balanced accuracy."""
from collections import Counter

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data import table

CATEGORICAL = ["international_plan", "voice_mail_plan"]
DROPPED = ["state", "area_code", "churn"]


def prepare():
    df: pd.DataFrame = table("mlc_churn")
    target = (df["churn"] == "yes").astype(int)
    df = df.drop(columns=DROPPED)
    numeric = [c for c in df.columns if c not in CATEGORICAL]
    train, test, y_train, y_test = train_test_split(df, target, test_size=0.3, stratify=target, random_state=11)
    pipeline = ColumnTransformer([("num", StandardScaler(), numeric), ("cat", OneHotEncoder(drop="if_binary"), CATEGORICAL)])
    as_tensor = lambda a: torch.tensor(np.asarray(a), dtype=torch.float32)
    return as_tensor(pipeline.fit_transform(train)), as_tensor(y_train), as_tensor(pipeline.transform(test)), as_tensor(y_test)


def make_sampler(labels):
    counts = Counter(labels.int().tolist())
    weights = [1.0 / counts[c] for c in labels.int().tolist()]
    return WeightedRandomSampler(weights, num_samples=len(labels), replacement=True)


def evaluate(model, loader):
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(x) for x, _ in loader]).squeeze(1)
    truth = torch.cat([y for _, y in loader])
    return balanced_accuracy_score(truth.numpy(), (scores > 0).numpy())


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = prepare()
    model = nn.Sequential(nn.Linear(x.shape[1], 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
    bce = nn.BCEWithLogitsLoss()
    return dict(
        network=model,
        loss=lambda out, target: bce(out.squeeze(1), target),
        evaluate=evaluate,
        train=DataLoader(TensorDataset(x, y), batch_size=64, sampler=make_sampler(y)),
        valid=DataLoader(TensorDataset(xv, yv), batch_size=500),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        batch_size=64,
        epochs=15,
    )
