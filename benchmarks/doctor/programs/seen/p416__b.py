# %% [markdown]
# # Neural network from scratch (almost): my own Dense layer

# %%
import torch
from data import fashion

# %%
class Dense(torch.nn.Module):
    """y = f(x @ W + b)"""

    def __init__(self, n_in, n_out, activation=None):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(n_in, n_out))
        self.b = torch.nn.Parameter(torch.zeros(n_out))
        self.activation = activation

    def forward(self, x):
        z = x @ self.W + self.b
        return z if self.activation is None else self.activation(z)


# %%
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1 = Dense(784, 128, torch.relu)
        self.hidden2 = Dense(128, 64, torch.relu)
        self.hidden3 = Dense(64, 32, torch.relu)
        self.output = Dense(32, 10)

    def forward(self, images):
        h = self.hidden1(images)
        h = self.hidden2(h)
        h = self.hidden3(h)
        return self.output(h)


# %%
def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(4000, 1000)
    x, xv = (torch.tensor(a).float().reshape(-1, 784) / 255 for a in (x, xv))
    net = Network()
    return {
        "network": net,
        "loss": torch.nn.CrossEntropyLoss(),
        "train": (x, torch.tensor(y)),
        "valid": (xv, torch.tensor(yv)),
        "optimizer": torch.optim.Adam(net.parameters(), lr=0.001),
        "batch_size": 50,
        "epochs": 10,
    }
