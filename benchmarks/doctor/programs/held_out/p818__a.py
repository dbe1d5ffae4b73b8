"""Splice junctions with a bidirectional LSTM; 24 letters around the middle of each piece of DNA."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import splice


class BiLSTM(nn.Module):

    def __init__(self, n_letters, n_hidden, n_classes):
        super(BiLSTM, self).__init__()
        self.n_letters = n_letters
        self.lstm = nn.LSTM(n_letters, n_hidden, num_layers=1, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * n_hidden, n_classes)

    def forward(self, x):
        x = F.one_hot(x, self.n_letters).float()
        output, (h_n, c_n) = self.lstm(x)
        h = h_n.view(x.size(0), -1)
        return self.fc(self.drop(h))


def build(seed=0):
    torch.manual_seed(seed)
    x, y = splice(2400, seed=6)
    x = torch.LongTensor(x)[:, 18:42]
    y = torch.LongTensor(y)
    model = BiLSTM(4, 32, 3)
    return {
        'network': model,
        'loss': nn.CrossEntropyLoss(),
        'train': (x[:1900], y[:1900]),
        'valid': (x[1900:], y[1900:]),
        'optimizer': torch.optim.Adam(model.parameters(), lr=0.005),
        'batch_size': 50,
        'epochs': 10,
    }
