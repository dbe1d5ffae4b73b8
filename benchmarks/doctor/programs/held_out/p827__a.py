"""Neighbourhood components analysis with a network: letters are laid out so that the nearest ones are of their kind.

There is no classifier. Each letter of a batch picks another one of it at random, the nearer the likelier, and the loss
is the chance (its logarithm) that the two are the same letter. A letter never picks itself.
"""
import torch
from torch import nn
from data import table


class Layout(nn.Module):
    def __init__(self, d=16, hidden=128, out=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                 nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, x):
        return self.net(x)


def nca(places, letter):
    near = -torch.cdist(places, places).square()
    near = near.masked_fill(torch.eye(len(places), dtype=torch.bool), -torch.inf)
    same = letter[:, None] == letter[None, :]
    same.fill_diagonal_(False)
    alone = ~same.any(1)  # no second letter of this kind in the batch
    chance = near.log_softmax(1).masked_fill(~same, -torch.inf)[~alone].logsumexp(1)
    return -chance.mean()


def nearest(train, chunk=200):
    """A letter takes the name of the majority of its five nearest training letters."""
    x, y = train

    @torch.no_grad()
    def evaluate(network, valid):
        network.eval()
        known = network(x)
        hits = 0
        for rows, letters in zip(valid[0].split(chunk), valid[1].split(chunk)):
            five = torch.cdist(network(rows), known).topk(5, largest=False).indices
            hits += int((y[five].mode(1).values == letters).sum())
        return hits / len(valid[1])

    return evaluate


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("LetterRecognition").sample(6000, random_state=1)
    letters = torch.tensor([ord(c) - ord("A") for c in frame.pop("lettr")])
    x = torch.tensor(frame.to_numpy()).float()
    train, valid = slice(0, 4800), slice(4800, None)
    x = (x - x[train].mean(0)) / x[train].std(0)
    net = Layout()
    return dict(network=net, loss=nca, train=(x[train], letters[train]), valid=(x[valid], letters[valid]),
                evaluate=nearest((x[train], letters[train])), batch_size=160, epochs=12,
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3))
