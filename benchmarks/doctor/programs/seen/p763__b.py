"""Which digit is spoken? GRU over log-mel frames, cepstral-mean style normalization in the Dataset."""
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from data_dahlia import spoken


class Utterances(Dataset):
    def __init__(self, x, lengths, target, training):
        self.frames = [torch.from_numpy(row[:n].copy()) for row, n in zip(x, lengths)]
        self.target = torch.from_numpy(target)
        self.training = training

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        mel = self.frames[i]
        if self.training:
            mel = (mel - mel.mean(0)) / 3
            mel = mel * (1 + 0.1 * torch.randn(()))
        return mel, self.target[i]


def collate(items):
    mels, target = zip(*items)
    lengths = torch.tensor([len(m) for m in mels])
    padded = pad_sequence(mels, batch_first=True)
    padded = nn.functional.pad(padded, (0, 0, 0, 60 - padded.shape[1]))
    return torch.cat([padded, lengths.view(-1, 1, 1).expand(-1, 60, 1).float()], -1), torch.stack(target)


class Reader(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.gru = nn.GRU(20, 48, batch_first=True)
        self.out = nn.Linear(48, classes)

    def forward(self, batch):
        mel, lengths = batch[..., :20], batch[:, 0, 20].long()
        _, last = self.gru(pack_padded_sequence(mel, lengths, batch_first=True, enforce_sorted=False))
        return self.out(last[0])


def build(seed=0):
    torch.manual_seed(seed)
    x, lengths, digit, speaker, take = spoken()
    early, late = take < 13, take >= 13
    net = Reader(10)
    train = Utterances(x[early], lengths[early], digit[early], training=True)
    valid = Utterances(x[late], lengths[late], digit[late], training=False)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3),
            "train": DataLoader(train, 26, shuffle=True, collate_fn=collate),
            "valid": DataLoader(valid, 40, collate_fn=collate), "batch_size": 26, "epochs": 10}
