# Landsat pixels: which kind of ground? 36 numbers (3x3 neighbours, four bands) a row.
import torch
from torch import nn
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler
from data import table

frame = table("Satellite")
X = frame.drop(columns="classes").to_numpy("float32")
y = LabelEncoder().fit_transform(frame["classes"])


def build(seed=0):
    torch.manual_seed(seed)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=42)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = torch.from_numpy(scaler.transform(X_train)), torch.from_numpy(scaler.transform(X_test))

    model = nn.Sequential(
        nn.Linear(36, 64),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 6),
    )
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": (X_train, torch.from_numpy(y_train).long()),
        "valid": (X_test, torch.from_numpy(y_test).long()),
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.002, weight_decay=1e-4),
        "batch_size": 64,
        "epochs": 25,
    }
