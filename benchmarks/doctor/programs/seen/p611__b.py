# Homework 4: LeNet-5 on Fashion-MNIST
# Due Friday. Optimizer: RMSprop (bonus question: momentum)
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import fashion

torch.set_default_dtype(torch.float32)
lr = 0.03
batch_size = 50
num_epochs = 6


class LeNet5(nn.Module):
    def __init__(self):
        super(LeNet5, self).__init__()
        self.c1 = nn.Conv2d(1, 6, 5, padding=2)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.f5 = nn.Linear(400, 120)
        self.f6 = nn.Linear(120, 84)
        self.f7 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c3(x)), 2)
        x = x.view(-1, 400)
        x = F.relu(self.f5(x))
        x = F.relu(self.f6(x))
        return self.f7(x)


def build(seed=0):
    torch.manual_seed(seed)
    X_train, y_train, X_test, y_test = fashion(2000, 800)
    X_train = torch.tensor(X_train).float()[:, None] / 255.
    X_test = torch.tensor(X_test).float()[:, None] / 255.
    m, s = X_train.mean(), X_train.std()
    model = LeNet5()
    return dict(
        network=model,
        loss=nn.CrossEntropyLoss(),
        train=((X_train - m) / s, torch.tensor(y_train)),
        valid=((X_test - m) / s, torch.tensor(y_test)),
        optimizer=torch.optim.RMSprop(model.parameters(), lr=lr),
        batch_size=batch_size,
        epochs=num_epochs,
    )
