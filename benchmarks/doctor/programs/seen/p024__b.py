"""Boston, a fused linear-and-rectifier layer with its own backward."""
import torch
from torch import nn
from data import table

COLS = ["crim", "zn", "indus", "nox", "rm", "age", "dis", "tax", "ptratio", "lstat"]


class FusedLinearReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        y = (x @ w.t() + b).clamp_min(0)
        ctx.save_for_backward(x, w, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, y = ctx.saved_tensors
        g = g * (y == 0)
        return g @ w, g.t() @ x, g.sum(0)


class Fused(nn.Linear):
    def forward(self, x):
        return FusedLinearReLU.apply(x, self.weight, self.bias)


def build(seed=0):
    torch.manual_seed(seed)
    df = table("BostonHousing2").sample(frac=1, random_state=31)
    x = torch.tensor(df[COLS].to_numpy(), dtype=torch.float32)
    y = torch.tensor(df[["cmedv"]].to_numpy(), dtype=torch.float32)
    x, y = (x - x[:400].mean(0)) / x[:400].std(0), (y - 22.5) / 9
    net = nn.Sequential(Fused(10, 32), Fused(32, 16), nn.Linear(16, 1))
    return dict(network=net, loss=nn.SmoothL1Loss(), train=(x[:400], y[:400]), valid=(x[400:], y[400:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=20, epochs=25)
