"""Wine straight from the table."""
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


def build(seed=0):
    torch.manual_seed(seed)
    X, y = load_wine(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, random_state=42, stratify=y)
    X_train, X_val = torch.tensor(X_train, dtype=torch.float32), torch.tensor(X_val, dtype=torch.float32)
    y_train, y_val = torch.tensor(y_train), torch.tensor(y_val)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    return dict(network=model, loss=nn.CrossEntropyLoss(), train=(X_train, y_train), valid=(X_val, y_val),
                optimizer=torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), batch_size=16, epochs=25)
