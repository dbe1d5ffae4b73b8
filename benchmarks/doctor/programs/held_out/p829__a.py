"""Reading a digit from top to bottom: a small transformer encoder, four rows of the picture are a token."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from data import mnist


class RowTransformer(nn.Module):
    def __init__(self, n_classes=10, d_model=64, n_heads=4, n_layers=2):
        super().__init__()
        self.proj = nn.Linear(112, d_model)
        self.pos = nn.Parameter(torch.randn(1, 7, d_model) * 0.02)
        layer = nn.TransformerEncoderLayer(d_model, n_heads, dim_feedforward=128, dropout=0.1, batch_first=True,
                                           norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, n_classes)

    def forward(self, images):
        tokens = self.proj(images.flatten(1).unflatten(1, (7, 112))) + self.pos
        return self.head(self.norm(self.encoder(tokens)).mean(dim=1))


def prepare(images, labels):
    images = (torch.tensor(images).float() / 255 - 0.13) / 0.31
    return TensorDataset(images, torch.tensor(labels))


def build(seed=0):
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = mnist(8000, 2000)
    train_loader = DataLoader(prepare(x_train, y_train), batch_size=64, shuffle=True)
    test_loader = DataLoader(prepare(x_test, y_test), batch_size=250)
    model = RowTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.05)
    return {
        "network": model,
        "loss": nn.CrossEntropyLoss(),
        "train": train_loader,
        "valid": test_loader,
        "optimizer": optimizer,
        "batch_size": 64,
        "epochs": 5,
    }
