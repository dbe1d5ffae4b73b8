"""ViT from scratch for MNIST: 16 patches of 7 x 7, two blocks."""
import torch
from torch import nn, einsum
from data import mnist


def patches(x, p=7):
    b = len(x)
    return x.view(b, 28 // p, p, 28 // p, p).permute(0, 1, 3, 2, 4).reshape(b, -1, p * p)


class Attention(nn.Module):
    def __init__(self, dim, heads=4):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.to_qkv = nn.Linear(dim, dim * 3, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (t.view(b, n, self.heads, -1).transpose(1, 2) for t in self.to_qkv(x).chunk(3, dim=-1))
        attn = (einsum("bhid,bhjd->bhij", q, k) * self.scale).softmax(-1)
        return self.to_out(einsum("bhij,bhjd->bhid", attn, v).transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.n1, self.attn = nn.LayerNorm(dim), Attention(dim)
        self.n2, self.ff = nn.LayerNorm(dim), nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.n1(x))
        return x + self.ff(self.n2(x))


class ViT(nn.Module):
    def __init__(self, dim=48, depth=2, classes=10):
        super().__init__()
        self.to_tokens = nn.Linear(49, dim)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(torch.zeros(1, 17, dim))
        self.blocks = nn.Sequential(*[Block(dim) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)
        self.apply(self.init_weights)
        nn.init.normal_(self.pos, std=0.02)

    @staticmethod
    def init_weights(m):
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=0.1)
            if m.bias is not None:
                nn.init.zeros_(m.bias)

    def forward(self, x):
        t = self.to_tokens(patches(x))
        t = torch.cat([self.cls.expand(len(t), -1, -1), t], 1) + self.pos
        return self.head(self.norm(self.blocks(t))[:, 0])


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(2000, 800)
    x, xv = (torch.tensor(a).float() / 255 - 0.13 for a in (x, xv))
    vit = ViT()
    return {"network": vit, "loss": nn.CrossEntropyLoss(), "train": (x, torch.tensor(y)), "valid": (xv, torch.tensor(yv)),
            "optimizer": torch.optim.AdamW(vit.parameters(), lr=2e-3), "batch_size": 50, "epochs": 6}
