"""Fat, water and protein of meat from 100 absorbances; layers come from a list of sizes."""
import torch
import torch.nn as nn
from data import table

TARGETS = ["water", "fat", "protein"]


def mlp(sizes, activation=nn.ReLU):
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:])):
        layers.append(nn.Linear(n_in, n_out))
        if i < len(sizes) - 1:
            layers.append(activation())
    return nn.Sequential(*layers)


def second_derivative(spectra):
    return spectra[:, 2:] - 2 * spectra[:, 1:-1] + spectra[:, :-2]


def standardize(a, n):
    return (a - a[:n].mean(0)) / a[:n].std(0)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("meats").drop_duplicates().sample(frac=1.0, random_state=21)
    spectra = torch.tensor(df.filter(regex="^x_").to_numpy())
    n = 165
    x = standardize(second_derivative(spectra), n).float()
    y = standardize(torch.tensor(df[TARGETS].to_numpy()), n).float()
    net = mlp([98, 48, 24, 3])
    return {"network": net, "loss": nn.MSELoss(), "train": (x[:n], y[:n]), "valid": (x[n:], y[n:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-3), "batch_size": 11, "epochs": 40}
