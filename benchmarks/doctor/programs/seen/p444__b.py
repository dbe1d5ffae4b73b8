"""Letter recognition (UCI). Moved over from my Keras script; to_categorical kept as it was."""
import numpy as np
import torch
from torch.nn import Linear, ReLU, Sequential
from torch import nn
from data import table


def to_categorical(labels, num_classes):
    return np.eye(num_classes, dtype="float32")[labels]


def Dense(n_in, n_out, activation=None):
    layers = [Linear(n_in, n_out)]
    nn.init.xavier_uniform_(layers[0].weight)
    nn.init.zeros_(layers[0].bias)
    if activation == "relu":
        layers.append(ReLU())
    elif activation == "softmax":
        layers.append(nn.Softmax(dim=-1))
    return Sequential(*layers)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition").sample(n=16000, random_state=7)
    Y = to_categorical(np.array([ord(c) - ord("A") for c in df["lettr"]]), 26)
    X = df.drop(columns="lettr").values.astype("float32")
    X = (X - 7.5) / 4.0
    X, Y = torch.tensor(X), torch.tensor(Y)

    model = Sequential(
        Dense(16, 64, activation="relu"),
        Dense(64, 64, activation="relu"),
        Dense(64, 26, activation="softmax"),
    )
    return dict(
        network=model,
        loss=nn.MSELoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        train=(X[:13000], Y[:13000]),
        valid=(X[13000:], Y[13000:]),
        batch_size=32,
        epochs=10,
    )
