"""Letters to phonemes: an encoder-decoder with teacher forcing."""
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader
from data import pronunciations

PAD, BOS, EOS = 0, 1, 2


class Seq2Seq(nn.Module):
    def __init__(self, n_phones, dim=32, hidden=64):
        super().__init__()
        self.src = nn.Embedding(27, dim, padding_idx=PAD)
        self.tgt = nn.Embedding(n_phones, dim, padding_idx=PAD)
        self.encoder = nn.GRU(dim, hidden // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(dim, hidden, batch_first=True)
        self.query = nn.Linear(hidden, hidden)
        self.vocab = nn.Linear(2 * hidden, n_phones)

    def forward(self, pair):
        letters, spoken = pair
        length = (letters != PAD).sum(1)
        packed = pack_padded_sequence(self.src(letters), length, batch_first=True, enforce_sorted=False)
        memory, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True)
        start = torch.cat([last[0], last[1]], dim=-1).unsqueeze(0)
        h, _ = self.decoder(self.tgt(spoken), start)
        scores = self.query(h) @ memory.transpose(1, 2)
        scores = scores.masked_fill((letters == PAD).unsqueeze(1), -1e9)
        return self.vocab(torch.cat([h, scores.softmax(-1) @ memory], -1))


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.nll = nn.CrossEntropyLoss(ignore_index=PAD)

    def forward(self, logits, gold):
        return self.nll(logits.flatten(0, 1), gold.flatten())


def make_collate(number):
    def collate(rows):
        letters = pad_sequence([torch.tensor([ord(c) - 96 for c in w]) for w, _ in rows], batch_first=True)
        phones = [torch.tensor([BOS, *(number[p] for p in ps), EOS]) for _, ps in rows]
        spoken = pad_sequence(phones, batch_first=True)
        return (letters, spoken[:, :-1]), spoken[:, 1:]

    return collate


def build(seed=0):
    torch.manual_seed(seed)
    words = pronunciations(3000, seed=4)
    phones = sorted({p for _, ps in words for p in ps})
    collate = make_collate({p: i + 3 for i, p in enumerate(phones)})
    net = Seq2Seq(len(phones) + 3)
    return {"network": net, "loss": Criterion(),
            "train": DataLoader(words[:2100], 50, shuffle=True, collate_fn=collate),
            "valid": DataLoader(words[2100:2600], 500, collate_fn=collate),
            "optimizer": torch.optim.Adam(net.parameters(), lr=5e-3), "batch_size": 50, "epochs": 6}
