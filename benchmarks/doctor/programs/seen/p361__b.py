"""Letters by their sixteen measures, with a linear layer of one's own."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import table


class LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias):
        ctx.save_for_backward(input, weight)
        return input.mm(weight.t()) + bias

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        grad_input = grad_output.mm(weight)
        grad_weight = input.t().mm(grad_output)
        return grad_input, grad_weight, grad_output.sum(0)


class MyLinear(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n, n))
        self.bias = nn.Parameter(torch.zeros(n))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x):
        return LinearFunction.apply(x, self.weight, self.bias)


class LetterNet(nn.Module):
    def __init__(self, n=48):
        super().__init__()
        self.pad = n - 16
        self.layers = nn.ModuleList([MyLinear(n) for _ in range(4)])

    def forward(self, x):
        h = F.pad(x, (0, self.pad))
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return self.layers[-1](h)[:, :26]


def build(seed=0):
    torch.manual_seed(seed)
    df = table("LetterRecognition")[:6000]
    y = torch.tensor([ord(c) - 65 for c in df["lettr"]])
    x = torch.tensor(df.drop(columns="lettr").to_numpy(), dtype=torch.float32)
    x = (x - x[:4500].mean(0)) / x[:4500].std(0)
    net = LetterNet()
    return dict(network=net, loss=F.cross_entropy, train=(x[:4500], y[:4500]), valid=(x[4500:], y[4500:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3), batch_size=64, epochs=10)
