"""Letters to sounds for words with as many phonemes as letters: tag each letter."""
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from data import pronunciations

HPARAMS = {
    "d_model": 48,
    "nhead": 4,
    "layers": 2,
    "lr": 2e-3,
    "batch_size": 32,
    "epochs": 6,
}


class Tagger(nn.Module):
    def __init__(self, n_tags, d_model, nhead, layers):
        super().__init__()
        self.letter = nn.Embedding(27, d_model, padding_idx=0)
        self.position = nn.Embedding(12, d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, 96, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.tag = nn.Linear(d_model, n_tags)

    def forward(self, letters):
        at = torch.arange(letters.shape[1])
        h = self.letter(letters) + self.position(at)
        h = self.encoder(h, src_key_padding_mask=letters == 0)
        return self.tag(h)


def token_loss(logits, tags):
    return nn.functional.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=0)


def make_examples():
    phones, examples = ["<pad>"], []
    for word, sounds in pronunciations(9000, seed=7):
        if len(word) == len(sounds):
            for s in sounds:
                if s not in phones:
                    phones.append(s)
            examples.append((torch.tensor([ord(c) - 96 for c in word]), torch.tensor([phones.index(s) for s in sounds])))
    return examples, phones


def collate(rows):
    letters = pad_sequence([a for a, _ in rows], batch_first=True)
    tags = pad_sequence([b for _, b in rows], batch_first=True)
    return nn.functional.pad(letters, (0, 10 - letters.shape[1])), nn.functional.pad(tags, (0, 10 - tags.shape[1]))


def build(seed=0):
    torch.manual_seed(seed)
    examples, phones = make_examples()
    cut = int(0.8 * len(examples))
    net = Tagger(len(phones), HPARAMS["d_model"], HPARAMS["nhead"], HPARAMS["layers"])
    return {
        "network": net,
        "loss": token_loss,
        "train": DataLoader(examples[:cut], HPARAMS["batch_size"], shuffle=True, collate_fn=collate),
        "valid": DataLoader(examples[cut:], 256, collate_fn=collate),
        "optimizer": torch.optim.Adam(net.parameters(), lr=HPARAMS["lr"]),
        "batch_size": HPARAMS["batch_size"],
        "epochs": HPARAMS["epochs"],
    }
