# fashion-mnist, residual conv net where depth and width are arguments
import torch
import torch.nn as nn
from data import fashion
from torch.utils.data import DataLoader, TensorDataset


class PlainResNet(nn.Module):
    def __init__(self, width=24, depth=4, n_classes=10, p_drop=0.3):
        super().__init__()
        self.stem = nn.Conv2d(1, width, kernel_size=5, stride=2, padding=2)
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(width)] * depth)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(p_drop)
        self.head = nn.Linear(width * 9, n_classes)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = x + torch.relu(norm(conv(x)))
            if i % 2 == 1:  # 14 -> 7 -> 3
                x = self.pool(x)
        return self.head(self.drop(x.flatten(1)))


def make_loaders(seed, bs=64):
    x_tr, y_tr, x_te, y_te = fashion(4000, 1500)
    mu, sd = x_tr.mean(), x_tr.std()
    tr = TensorDataset(torch.from_numpy((x_tr[:, None] - mu) / sd).float(), torch.from_numpy(y_tr))
    te = TensorDataset(torch.from_numpy((x_te[:, None] - mu) / sd).float(), torch.from_numpy(y_te))
    rng = torch.Generator().manual_seed(seed)
    return DataLoader(tr, bs, shuffle=True, drop_last=True, generator=rng), DataLoader(te, 250)


def build(seed=0):
    torch.manual_seed(seed)
    train_dl, test_dl = make_loaders(seed)
    net = PlainResNet()
    opt = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-3)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=train_dl, valid=test_dl, optimizer=opt,
                batch_size=64, epochs=8)
