"""An echo state network: the reservoir is drawn once and left as it is, only the readout learns."""
import numpy as np
import torch
from torch import nn
from data import vowels


class EchoState(nn.Module):
    def __init__(self, n_in, n_units, n_out, radius=0.9, leak=0.3):
        super().__init__()
        w = np.random.RandomState(0).normal(size=(n_units, n_units)) * (np.random.RandomState(1).rand(n_units, n_units) < 0.1)
        w *= radius / np.abs(np.linalg.eigvals(w)).max()
        self.recurrent = nn.Parameter(torch.tensor(w, dtype=torch.float32), requires_grad=False)
        self.inward = nn.Parameter(torch.empty(n_units, n_in).uniform_(-0.5, 0.5), requires_grad=False)
        self.readout = nn.Linear(2 * n_units, n_out)
        self.leak = leak

    def forward(self, x):
        state = x.new_zeros(len(x), len(self.recurrent))
        total = torch.zeros_like(state)
        for t in range(x.shape[1]):
            new = torch.tanh(x[:, t] @ self.inward.T + state @ self.recurrent.T)
            state = (1 - self.leak) * state + self.leak * new
            total = total + state
        return self.readout(torch.cat([state, total / x.shape[1]], dim=1))


def build(seed=0):
    torch.manual_seed(seed)
    x, y, _, xv, yv, _ = vowels()
    # every utterance has at least seven frames
    x, xv = (torch.tensor(a[:, :, :7]).permute(0, 2, 1).contiguous() for a in (x, xv))
    net = EchoState(12, 200, 9)
    readout = [p for p in net.parameters() if p.requires_grad]
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x, torch.tensor(y)), valid=(xv, torch.tensor(yv)),
                optimizer=torch.optim.Adam(readout, lr=0.02), batch_size=30, epochs=40)
