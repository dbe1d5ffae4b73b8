"""Malignant or benign, Wisconsin."""
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer()


def build(seed=0):
    torch.manual_seed(seed)
    Xtr, Xva, ytr, yva = train_test_split(data.data, data.target, test_size=0.3, random_state=0, stratify=data.target)
    scaler = StandardScaler()
    Xtr = torch.FloatTensor(scaler.fit_transform(Xtr))
    Xva = torch.FloatTensor(scaler.transform(Xva))
    ytr, yva = torch.FloatTensor(ytr).view(-1, 1), torch.FloatTensor(yva).view(-1, 1)
    model = torch.nn.Sequential(
        torch.nn.Linear(30, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 1),
        torch.nn.Softmax(dim=1),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    return {"network": model, "loss": torch.nn.BCELoss(), "train": (Xtr, ytr), "valid": (Xva, yva),
            "optimizer": optimizer, "batch_size": 32, "epochs": 15}
