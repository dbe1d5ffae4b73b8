"""Land use from satellite pixels. PyTorch version of our TF1 script; the constants are the same as there."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table

N_HIDDEN_1 = 64
N_HIDDEN_2 = 64
KEEP_PROB = 0.9
LEARNING_RATE = 0.002
TRAINING_EPOCHS = 15
BATCH_SIZE = 50


def get_batch_data():
    frame = table("Satellite")
    names = sorted(frame["classes"].unique())
    y = torch.tensor(frame["classes"].map(names.index).to_numpy())
    x = torch.tensor(frame.drop(columns="classes").to_numpy()).float()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(20))
    x, y = x[order], y[order]
    x = (x - x[:2500].mean(0)) / x[:2500].std(0)
    return x[:2500], y[:2500], x[2500:3500], y[2500:3500], len(names)


class MultilayerPerceptron(nn.Module):
    def __init__(self, n_input, n_classes):
        super().__init__()
        self.h1 = nn.Linear(n_input, N_HIDDEN_1)
        self.h2 = nn.Linear(N_HIDDEN_1, N_HIDDEN_2)
        self.out = nn.Linear(N_HIDDEN_2, n_classes)
        self.drop = nn.Dropout(1 - KEEP_PROB)
        for layer in (self.h1, self.h2, self.out):
            nn.init.trunc_normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        layer_1 = self.drop(F.relu(self.h1(x)))
        layer_2 = self.drop(F.relu(self.h2(layer_1)))
        return self.out(layer_2)


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test, n_classes = get_batch_data()
    net = MultilayerPerceptron(x_train.shape[1], n_classes)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x_train, y_train), "valid": (x_test, y_test),
            "optimizer": optimizer, "batch_size": BATCH_SIZE, "epochs": TRAINING_EPOCHS}
