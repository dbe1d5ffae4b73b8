"""Differentially private SGD (Abadi et al., 2016) on handwritten digits: per-example gradients by torch.func."""
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, grad, vmap

CLIP, NOISE = 1.0, 0.6


def private_step(network, batch, optimizer, loss):
    x, y = batch
    params = {name: p.detach() for name, p in network.named_parameters()}

    def loss_of_one(params, row, label):
        return loss(functional_call(network, params, (row.unsqueeze(0),)), label.unsqueeze(0))

    grads = vmap(grad(loss_of_one), in_dims=(None, 0, 0))(params, x, y)
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    shrink = (CLIP / norms.clamp(min=1e-9)).clamp(max=1.0)
    optimizer.zero_grad()
    for name, p in network.named_parameters():
        total = torch.einsum("n,n...->...", shrink, grads[name])
        p.grad = (total + NOISE * CLIP * torch.randn_like(p)) / len(x)
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16.0).float(), torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(8))
    fit, held = order[:1400], order[1400:]
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[fit], y[fit]), "valid": (x[held], y[held]),
            "step": private_step, "optimizer": torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.5),
            "batch_size": 100, "epochs": 20}
