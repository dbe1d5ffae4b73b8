"""Capital letters from sixteen measured features, a five layer network with its own initialization."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler
from data import table


class LetterNet(nn.Module):
    def __init__(self, in_dim, width, depth, out_dim):
        super().__init__()
        dims = [in_dim] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(dims[:-1], dims[1:]))
        self.out = nn.Linear(width, out_dim)
        self.reset_parameters()

    def reset_parameters(self):
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.kaiming_normal_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.out(x)


def get_data(n=4000, n_train=3200):
    df = table("LetterRecognition").drop_duplicates().sample(n, random_state=1)
    y = df["lettr"].map(lambda c: ord(c) - ord("A")).values
    X = df.drop(columns=["lettr"]).values
    scaler = StandardScaler().fit(X[:n_train])
    X = torch.tensor(scaler.transform(X), dtype=torch.float)
    y = torch.tensor(y, dtype=torch.long)
    return (X[:n_train], y[:n_train]), (X[n_train:], y[n_train:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = get_data()
    model = LetterNet(16, 80, 4, 26)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid, "optimizer": optimizer,
            "batch_size": 64, "epochs": 10}
