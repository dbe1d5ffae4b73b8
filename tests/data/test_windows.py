"""Windows of one long sequence: what is seen, how often, and from where an epoch goes on."""

import pytest
import torch

from gradus.core.errors import InputError, SettingError
from gradus.data.windows import WindowBatches, windows


def collected(data, epoch, start=0):
    batches = list(data.epoch(epoch, start))
    return torch.cat([b["inputs"] for b in batches]), torch.cat([b["targets"] for b in batches])


@pytest.mark.parametrize(("n", "length", "batch_size"), [(100, 7, 3), (8, 7, 2), (15, 7, 4), (14, 7, 1), (1000, 1, 64)])
def test_an_epoch_sees_each_token_at_most_once_and_nearly_all(n, length, batch_size):
    data = WindowBatches(torch.arange(n), length=length, batch_size=batch_size, seed=3)
    for epoch in range(4):
        inputs, targets = collected(data, epoch)
        assert torch.equal(targets, inputs + 1) and inputs.shape == (data.n_examples, length)
        seen = targets.flatten()
        assert len(seen.unique()) == len(seen)
        assert len(seen) > n - 1 - 2 * length
        assert len(list(data.epoch(epoch))) == len(data)


def test_epochs_differ_in_order_and_offset_and_come_again_by_seed():
    data = WindowBatches(torch.arange(200), length=9, batch_size=4, seed=1)
    again = WindowBatches(torch.arange(200), length=9, batch_size=4, seed=1)
    first, second = collected(data, 0)[0], collected(data, 1)[0]
    assert torch.equal(first, collected(again, 0)[0])
    assert not torch.equal(first, second)
    offsets = {int(collected(data, epoch)[0].min()) for epoch in range(30)}
    assert len(offsets) > 5  # from 0 to 8 at least
    assert not torch.equal(first, collected(WindowBatches(torch.arange(200), length=9, batch_size=4, seed=2), 0)[0])


def test_an_epoch_goes_on_in_the_middle():
    data = WindowBatches(torch.arange(100), length=5, batch_size=4, seed=1)
    whole = [batch["inputs"] for batch in data.epoch(2)]
    for start in range(len(data)):
        rest = [batch["inputs"] for batch in data.epoch(2, start)]
        assert len(rest) == len(whole) - start
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_small_integers_become_indices():
    assert windows(torch.arange(9, dtype=torch.uint8), torch.tensor([0, 4]), 3)["inputs"].dtype == torch.int64


def test_wrong_input():
    with pytest.raises(InputError, match="more than 7 tokens, got 7"):
        WindowBatches(torch.arange(7), length=7, batch_size=2)
    with pytest.raises(SettingError, match="length to be 1 or more"):
        WindowBatches(torch.arange(7), length=0, batch_size=2)
    with pytest.raises(InputError, match="integers of shape"):
        WindowBatches(torch.zeros(7), length=2, batch_size=2)
