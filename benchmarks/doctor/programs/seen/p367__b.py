"""Deep autoencoder in the manner of 2006: 64-50-40-30-12-30-40-50-64."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def stack(sizes, activation):
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(n_in, n_out), activation()]
    return layers


class DeepAutoencoder(nn.Module):
    def __init__(self, sizes=(64, 50, 40, 30, 12), activation=nn.Sigmoid):
        super().__init__()
        self.encode = nn.Sequential(*stack(sizes, activation))
        self.decode = nn.Sequential(*stack(sizes[::-1], activation)[:-1])

    def forward(self, x):
        return self.decode(self.encode(x))


def build(seed=0):
    torch.manual_seed(seed)
    X = load_digits().data.astype("float32") / 16
    A, B = train_test_split(X, test_size=0.25, random_state=0)
    A, B = torch.from_numpy(A), torch.from_numpy(B)
    model = DeepAutoencoder()
    return dict(network=model, loss=nn.MSELoss(), train=(A, A), valid=(B, B),
                optimizer=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), batch_size=32, epochs=25)
