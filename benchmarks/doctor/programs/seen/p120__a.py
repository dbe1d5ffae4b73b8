"""Glass: accuracy on a sample of rows."""
import torch
from torch import nn
from sklearn.model_selection import train_test_split
from data import table


def make_evaluate(x, y):
    def evaluate(network, valid):
        network.eval()
        rows, labels = x, y
        with torch.no_grad():
            return (network(rows).argmax(-1) == labels).double().mean().item()

    return evaluate


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Glass")
    y = df.pop("Type").astype("category").cat.codes.to_numpy().astype("int64")
    a, b, ya, yb = train_test_split(df.to_numpy("float32"), y, test_size=0.35, stratify=y, random_state=3)
    mean, std = a.mean(0), a.std(0)
    a, b = torch.tensor((a - mean) / std), torch.tensor((b - mean) / std)
    ya, yb = torch.tensor(ya), torch.tensor(yb)
    net = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 6))
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(a, ya), valid=(b, yb), batch_size=16, epochs=40,
                optimizer=torch.optim.Adam(net.parameters(), lr=4e-3), evaluate=make_evaluate(a, ya))
