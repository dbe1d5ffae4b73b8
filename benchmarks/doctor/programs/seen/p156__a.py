"""The MNIST example of every tutorial, smaller."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import mnist


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 2)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(16 * 36, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return F.log_softmax(self.fc2(x), dim=1)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = mnist(1500, 600)
    x, xt = (((torch.tensor(a).float() / 255) - 0.1307).div(0.3081).unsqueeze(1) for a in (x, xt))
    model = Net()
    return {"network": model, "loss": F.nll_loss, "train": (x, torch.tensor(y)), "valid": (xt, torch.tensor(yt)),
            "optimizer": torch.optim.Adadelta(model.parameters(), lr=1.0), "batch_size": 64, "epochs": 5}
