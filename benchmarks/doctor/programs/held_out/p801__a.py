"""Letter recognition (UCI), ported from my old Keras script.

    model = Sequential()
    model.add(Dense(64, activation='relu', input_shape=(16,)))
    model.add(Dense(64, activation='relu'))
    model.add(Dense(26, ...))
    model.compile(loss='sparse_categorical_crossentropy', optimizer='adam')
    model.fit(x_train, y_train, batch_size=64, epochs=20)
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "tanh": nn.Tanh(),
    "softmax": nn.Softmax(dim=1),
    "linear": nn.Identity(),
}


class Dense(nn.Module):
    """The part of keras.layers.Dense that I used."""

    def __init__(self, in_features, units, activation="linear"):
        super().__init__()
        self.fc = nn.Linear(in_features, units)
        nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x):
        return self.activation(self.fc(x))


def load():
    df = table("LetterRecognition").iloc[:9000]
    y = torch.tensor([ord(c) - ord("A") for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy("float32"))
    x = x / 7.5 - 1
    return (x[:7000], y[:7000]), (x[7000:], y[7000:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = load()
    model = nn.Sequential(
        Dense(16, 64, activation="relu"),
        Dense(64, 64, activation="relu"),
        Dense(64, 26, activation="softmax"),
    )
    return {
        "network": model,
        "loss": F.cross_entropy,
        "train": train,
        "valid": valid,
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3, eps=1e-7),
        "batch_size": 64,
        "epochs": 20,
    }
