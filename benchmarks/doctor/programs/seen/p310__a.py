"""MNIST, fully connected with dropout; ported from an old TensorFlow 1 notebook (keep_prob in the config)."""
import torch
import torch.nn as nn
from data import mnist

FLAGS = dict(hidden1=64, hidden2=32, keep_prob=0.9, learning_rate=1e-3, batch_size=50, max_epochs=10)


def fully_connected(n_in, n_out, keep_prob):
    return [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(1.0 - keep_prob)]


def inference(flags):
    layers = [nn.Flatten()]
    layers += fully_connected(784, flags["hidden1"], flags["keep_prob"])
    layers += fully_connected(flags["hidden1"], flags["hidden2"], flags["keep_prob"])
    layers += [nn.Linear(flags["hidden2"], 10)]
    return nn.Sequential(*layers)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xt, yt = mnist(3000, 1000)
    x, xt = torch.tensor(x / 255.0, dtype=torch.float32), torch.tensor(xt / 255.0, dtype=torch.float32)
    net = inference(FLAGS)
    adam = torch.optim.Adam(net.parameters(), lr=FLAGS["learning_rate"])
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x, torch.tensor(y)), valid=(xt, torch.tensor(yt)),
                optimizer=adam, batch_size=FLAGS["batch_size"], epochs=FLAGS["max_epochs"])
