# Palmer penguins: guess the species from four body measurements
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.model_selection import train_test_split
from data import table

FEATURES = ['bill_length_mm', 'bill_depth_mm', 'flipper_length_mm', 'body_mass_g']


class PenguinNet(nn.Module):
    def __init__(self):
        super(PenguinNet, self).__init__()
        self.fc1 = nn.Linear(4, 32)
        self.fc2 = nn.Linear(32, 32)
        self.fc3 = nn.Linear(32, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


def build(seed=0):
    torch.manual_seed(seed)
    df = table('penguins').dropna()
    X = df[FEATURES].values.astype('float32')
    y = df['species'].astype('category').cat.codes.values.astype('int64')
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=42, stratify=y)
    X_train, X_test = torch.from_numpy(X_train), torch.from_numpy(X_test)
    y_train, y_test = torch.from_numpy(y_train), torch.from_numpy(y_test)

    model = PenguinNet()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return {
        'network': model,
        'loss': nn.CrossEntropyLoss(),
        'train': (X_train, y_train),
        'valid': (X_test, y_test),
        'optimizer': optimizer,
        'batch_size': 16,
        'epochs': 60,
    }
