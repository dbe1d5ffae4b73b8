'''VAE on MNIST (after the pytorch/examples one).'''
import torch
from torch import nn
from torch.nn import functional as F
from data import mnist


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(784, 200)
        self.fc21 = nn.Linear(200, 10)
        self.fc22 = nn.Linear(200, 10)
        self.fc3 = nn.Linear(10, 200)
        self.fc4 = nn.Linear(200, 784)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 784))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(model, batch):
    x = batch[0].view(-1, 784)
    recon_x, mu, logvar = model(x)
    BCE = F.binary_cross_entropy(recon_x, x, reduction='sum') / len(x)
    # 0.5 * sum(1 + log(sigma^2) - mu^2 - sigma^2)
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
    return BCE + KLD


def reconstruction(model, valid):
    model.eval()
    x = valid[0].view(-1, 784)
    with torch.no_grad():
        recon_x, _, _ = model(x)
    return -F.binary_cross_entropy(recon_x, x).item()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = mnist(3000, 500)
    x, xv = torch.from_numpy(x).float() / 255, torch.from_numpy(xv).float() / 255
    model = VAE()
    return {'network': model, 'objective': loss_function, 'evaluate': reconstruction, 'train': (x, torch.from_numpy(y)),
            'valid': (xv, torch.from_numpy(yv)), 'optimizer': torch.optim.Adam(model.parameters(), lr=1e-3),
            'batch_size': 64, 'epochs': 12}
