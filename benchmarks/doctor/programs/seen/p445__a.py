"""Spam or not: 57 word and character frequencies."""

import torch
import torch.nn as nn
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from data import table


class SpamClassifier(nn.Module):
    """Two hidden layers, one logit."""

    def __init__(self, n_features: int, hidden: int = 48):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden // 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def criterion(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, labels.unsqueeze(1))


@torch.no_grad()
def evaluate(network: nn.Module, valid) -> float:
    network.eval()
    features, labels = valid
    predicted = (torch.sigmoid(network(features)) > 0.5).float()
    correct = (predicted == labels).float()
    return correct.mean().item()


def build(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    frame = table("Spambase")
    labels = (frame["type"] == "spam").to_numpy("float32")
    features = frame.drop(columns="type").to_numpy("float32")
    x_train, x_valid, y_train, y_valid = train_test_split(features, labels, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(x_train)
    x_train, x_valid = (torch.tensor(scaler.transform(x), dtype=torch.float32) for x in (x_train, x_valid))
    network = SpamClassifier(x_train.shape[1])
    return {
        "network": network,
        "loss": criterion,
        "evaluate": evaluate,
        "train": (x_train, torch.tensor(y_train)),
        "valid": (x_valid, torch.tensor(y_valid)),
        "optimizer": torch.optim.AdamW(network.parameters(), lr=2e-3),
        "batch_size": 64,
        "epochs": 30,
    }
