"""A little transformer for the 8x8 digits: every row of pixels is a token."""
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class RowEmbedding(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.proj = nn.Linear(8, d_model)
        self.pos = nn.Parameter(torch.randn(1, 8, d_model) * 0.1)

    def forward(self, img):
        return self.proj(img) + self.pos


class TinyTransformer(nn.Module):
    def __init__(self, d_model=48, heads=4, depth=2, classes=10):
        super().__init__()
        self.embed = RowEmbedding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, heads, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(d_model, classes)

    def forward(self, img):
        return self.head(self.encoder(self.embed(img)).mean(dim=1))


def build(seed=0):
    torch.manual_seed(seed)
    images = load_digits().images / 8.0 - 1.0
    labels = load_digits().target
    tr_x, va_x, tr_y, va_y = train_test_split(images, labels, test_size=0.3, random_state=17, stratify=labels)
    as_img = lambda a: torch.as_tensor(a, dtype=torch.float32)
    net = TinyTransformer()
    opt = torch.optim.Adam(net.parameters(), lr=0.05)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(as_img(tr_x), torch.as_tensor(tr_y)),
                valid=(as_img(va_x), torch.as_tensor(va_y)), optimizer=opt, batch_size=32, epochs=12)
