"""Letters by sixteen statistics of their picture (Frey & Slate).  Rewritten from the TensorFlow 1 graph:

    h = tf.nn.dropout(tf.nn.relu(tf.matmul(x, W1) + b1), keep_prob)
"""
import argparse

import numpy as np
import torch
from data import table
from torch import nn


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--hidden", type=int, default=96)
    p.add_argument("--depth", type=int, default=2)
    p.add_argument("--keep-prob", type=float, default=0.85)
    p.add_argument("--learning-rate", type=float, default=3e-3)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--epochs", type=int, default=15)
    return p.parse_args([])


class Perceptron(nn.Module):
    def __init__(self, inputs, classes, args):
        super().__init__()
        self.hidden = nn.ModuleList()
        for k in range(args.depth):
            self.hidden.append(nn.Linear(inputs if k == 0 else args.hidden, args.hidden))
        self.logits = nn.Linear(args.hidden, classes)
        self.dropout = nn.Dropout(args.keep_prob)

    def forward(self, x):
        for layer in self.hidden:
            x = self.dropout(layer(x).relu())
        return self.logits(x)


def build(seed=0):
    torch.manual_seed(seed)
    args = arguments()
    frame = table("LetterRecognition")
    letters = frame.pop("lettr")
    y = letters.map(lambda c: ord(c) - ord("A")).to_numpy()
    x = frame.to_numpy(np.float32)
    train, valid = slice(0, 4000), slice(16000, 18000)
    mu, sd = x[train].mean(0), x[train].std(0)
    x = torch.from_numpy((x - mu) / sd)
    y = torch.from_numpy(y)
    net = Perceptron(x.shape[1], 26, args)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x[train], y[train]), "valid": (x[valid], y[valid]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=args.learning_rate),
            "batch_size": args.batch_size, "epochs": args.epochs}
