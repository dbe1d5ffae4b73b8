"""Soil types from Landsat pixels. Trainer object with a learning-rate schedule."""
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR
from data import table


class Trainer:
    """Holds what a run needs besides the network."""

    def __init__(self, optimizer, batches_per_epoch, gamma=0.9):
        self.scheduler = ExponentialLR(optimizer, gamma=gamma)
        self.batches_per_epoch = batches_per_epoch
        self.seen = 0

    def step(self, network, batch, optimizer, loss_fn):
        features, labels = batch
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(network(features), labels)
        loss.backward()
        optimizer.step()
        self.seen += 1
        if self.seen % self.batches_per_epoch == 0:
            self.scheduler.step()
        return loss.detach()


def load_pixels(n_train, n_valid):
    df = table("Satellite").drop_duplicates().sample(n=n_train + n_valid, random_state=8)
    labels = df.pop("classes").astype("category").cat.codes.to_numpy("int64")
    pixels = torch.tensor(df.to_numpy(), dtype=torch.float32)
    pixels = (pixels - pixels[:n_train].mean(dim=0)) / pixels[:n_train].std(dim=0)
    labels = torch.from_numpy(labels)
    return (pixels[:n_train], labels[:n_train]), (pixels[n_train:], labels[n_train:])


def build(seed=0):
    torch.manual_seed(seed)
    train, valid = load_pixels(2400, 1200)
    network = nn.Sequential(nn.Linear(36, 96), nn.ELU(), nn.Linear(96, 96), nn.ELU(), nn.Linear(96, 6))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.8)
    trainer = Trainer(optimizer, batches_per_epoch=2400 // 48)
    return {"network": network, "loss": nn.CrossEntropyLoss(), "train": train, "valid": valid,
            "optimizer": optimizer, "batch_size": 48, "epochs": 15, "step": trainer.step}
