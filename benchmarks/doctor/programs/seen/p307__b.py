"""Donor, acceptor or neither: sixty letters of DNA are read codon by codon with a recurrent cell unrolled in Python."""
import torch
import torch.nn as nn
from data import splice


def codons_to_tensor(codes):
    onehot = torch.nn.functional.one_hot(torch.tensor(codes), 4).float()
    return onehot.reshape(len(codes), 20, 12)


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.GRUCell(input_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def init_hidden(self, n):
        return torch.zeros(n, self.hidden_size)

    def forward(self, sequence):
        hidden = self.init_hidden(len(sequence))
        for codon in sequence.unbind(1):
            hidden = self.cell(codon, hidden)
        return self.h2o(hidden)


def build(seed=0):
    torch.manual_seed(seed)
    codes, labels = splice(2400, seed=3)
    x, y = codons_to_tensor(codes), torch.tensor(labels)
    n_train = int(len(x) * 0.75)
    rnn = RNN(12, 40, 3)
    optimizer = torch.optim.Adam(rnn.parameters(), lr=8e-3)
    return {"network": rnn, "loss": nn.CrossEntropyLoss(), "train": (x[:n_train], y[:n_train]),
            "valid": (x[n_train:], y[n_train:]), "optimizer": optimizer, "batch_size": 40, "epochs": 12}
