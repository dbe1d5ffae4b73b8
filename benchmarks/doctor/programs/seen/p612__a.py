"""Land cover from Landsat pixels (3x3 neighbourhoods, four bands), after a TensorFlow notebook."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table

hparams = {
    "units": [64, 64],
    "activation": "relu",
    "optimizer": "adadelta",
    "learning_rate": 0.001,
    "batch_size": 32,
    "epochs": 10,
}

OPTIMIZERS = {"adadelta": torch.optim.Adadelta, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def make_model(n_features, n_classes, units, activation):
    model = nn.Sequential()
    for i, u in enumerate(units):
        model.add_module(f"dense_{i}", nn.Linear(n_features, u))
        model.add_module(f"{activation}_{i}", ACTIVATIONS[activation]())
        n_features = u
    model.add_module("logits", nn.Linear(n_features, n_classes))
    return model


def datasets():
    frame = table("Satellite").sample(frac=1, random_state=1)
    y = torch.tensor(frame["classes"].astype("category").cat.codes.to_numpy()).long()
    x = torch.tensor(frame.drop(columns="classes").to_numpy(), dtype=torch.float32)
    x = (x - x[:2500].mean(0)) / x[:2500].std(0)
    return TensorDataset(x[:2500], y[:2500]), TensorDataset(x[2500:4000], y[2500:4000])


def build(seed=0):
    torch.manual_seed(seed)
    train_ds, val_ds = datasets()
    model = make_model(36, 6, hparams["units"], hparams["activation"])
    generator = torch.Generator().manual_seed(seed)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": DataLoader(train_ds, batch_size=hparams["batch_size"], shuffle=True, generator=generator),
        "valid": DataLoader(val_ds, batch_size=500),
        "optimizer": OPTIMIZERS[hparams["optimizer"]](model.parameters(), lr=hparams["learning_rate"]),
        "batch_size": hparams["batch_size"],
        "epochs": hparams["epochs"],
    }
