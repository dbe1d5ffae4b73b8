"""CaiT-like transformer on rows of digits: each pair of rows is a token, branches scaled by small learned gains."""
import torch
import torch.nn as nn

from data import mnist


class ScaledBlock(nn.Module):
    def __init__(self, dim, heads, gain=1e-3):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.gain1 = nn.Parameter(gain * torch.ones(dim))
        self.gain2 = nn.Parameter(gain * torch.ones(dim))

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.gain1 * self.attn(h, h, h, need_weights=False)[0]
        return x + self.gain2 * self.ff(self.norm2(x))


class RowTransformer(nn.Module):
    def __init__(self, dim=32, depth=2, classes=10):
        super().__init__()
        self.embed = nn.Linear(28, dim)
        self.rows = nn.Parameter(torch.randn(14, dim) * 0.3)
        self.blocks = nn.Sequential(*[ScaledBlock(dim, 4) for _ in range(depth)])
        self.out = nn.Sequential(nn.Flatten(), nn.LayerNorm(14 * dim), nn.Linear(14 * dim, classes))

    def forward(self, x):
        return self.out(self.blocks(self.embed(x) + self.rows))


def rows(images):
    x = torch.from_numpy(images).float() / 255
    return (0.5 * (x[:, ::2] + x[:, 1::2]) - 0.13) / 0.3


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 800)
    model = RowTransformer()
    gains = [p for n, p in model.named_parameters() if "gain" in n]
    others = [p for n, p in model.named_parameters() if "gain" not in n]
    optimizer = torch.optim.AdamW([{"params": others, "weight_decay": 0.01}, {"params": gains, "weight_decay": 0.0, "lr": 1e-2}], lr=2e-3)
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": (rows(x), torch.from_numpy(y)), "valid": (rows(xv), torch.from_numpy(yv)),
            "optimizer": optimizer, "batch_size": 50, "epochs": 5}
