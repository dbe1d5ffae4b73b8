"""Curricula: who is in the pool when, that positions are restored, and that training resumes to the same bits."""

import collections

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive
from gradus.data.batches import Batches, TensorBatches
from gradus.estimators.mlp import MLPClassifier
from gradus.training.checkpoints import CheckpointStore
from gradus.training.curriculum import CurriculumBatches, example_losses
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from training.small import Crash, assert_same, classifier, crash_at, rows, state

HARD = [3.0, 0.0, 2.0, 9.0, 5.0, 1.0, 4.0, 8.0, 7.0, 6.0]


def made(n=10, **settings):
    data = {"inputs": torch.arange(float(n))}
    return CurriculumBatches(data, HARD[:n], **{"batch_size": 3, "epochs": 4, "start": 0.4, "seed": 1, **settings})


def seen(batches, epoch):
    return [int(v) for batch in batches.epoch(epoch) for v in batch["inputs"]]


@pytest.mark.parametrize(
    ("pace", "shares"),
    [("linear", [0.4, 0.55, 0.7, 0.85, 1.0, 1.0]), ("root", [0.4, 0.37**0.5, 0.58**0.5, 0.79**0.5, 1.0, 1.0])],
)
def test_the_pool_holds_the_easiest(pace, shares):
    batches = made(pace=pace)
    assert isinstance(batches, Batches) and len(batches) == 4
    for epoch, share in enumerate(shares):
        assert batches.share(epoch) == pytest.approx(share)
        pool = set(np.argsort(HARD)[: round(share * 10)].tolist())
        found = seen(batches, epoch)
        assert set(found) == pool and len(found) == 10
        counts = collections.Counter(found).values()
        assert max(counts) - min(counts) <= 1  # gone through evenly


def test_a_whole_pool_gives_the_batches_of_plain_training():
    data = {"inputs": torch.arange(10.0), "targets": torch.arange(10)}
    plain = TensorBatches(data, batch_size=3, seed=5)
    full = CurriculumBatches(data, HARD, batch_size=3, epochs=2, seed=5)
    for epoch in (2, 7):
        for one, other in zip(plain.epoch(epoch), full.epoch(epoch), strict=True):
            assert all(torch.equal(one[name], other[name]) for name in data)


@pytest.mark.parametrize("epoch", range(6))
@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_an_epoch_can_start_anywhere(epoch, mix):
    batches = made(mix=mix)
    whole = [b["inputs"].tolist() for b in batches.epoch(epoch)]
    for start in range(4):
        assert [b["inputs"].tolist() for b in batches.epoch(epoch, start)] == whole[start:]
    assert [b["inputs"].tolist() for b in made(mix=mix).epoch(epoch)] == whole
    assert epoch == 0 or whole != [b["inputs"].tolist() for b in made(mix=mix, seed=2).epoch(epoch)]


def test_a_mix_shows_hard_examples_from_the_start():
    n = 4000
    batches = CurriculumBatches(
        {"inputs": torch.arange(float(n))}, np.arange(n), batch_size=100, epochs=3, start=0.25, mix=0.4
    )
    found = np.array(seen(batches, 0))
    # 0.4 of the draws come from all, three quarters of those from outside the pool: five standard errors of 0.0073
    assert abs(np.mean(found >= n / 4) - 0.3) < 0.037
    assert made(mix=0.0).start == 0.4


def test_ties_keep_their_order_and_wrong_settings_are_refused():
    data = {"inputs": torch.arange(4.0)}
    batches = CurriculumBatches(data, [1, 1, 1, 1], batch_size=2, epochs=2, start=0.5)
    assert set(seen(batches, 0)) == {0, 1}
    for wrong in ([1, 2, 3], [1, 2, 3, np.nan], [[1, 2, 3, 4]]):
        with pytest.raises(InputError, match="finite difficulty"):
            CurriculumBatches(data, wrong, batch_size=2, epochs=2)
    for wrong in ({"start": 0.0}, {"start": 1.1}, {"mix": 1.0}, {"epochs": -1}, {"pace": "fast"}):
        with pytest.raises(SettingError, match="epochs of 0 or more"):
            CurriculumBatches(data, [1, 2, 3, 4], **{"batch_size": 2, "epochs": 2, **wrong})


def trained(folder=None, callbacks=()):
    data, network = rows(), classifier(dropout=0.3)
    options = TrainingOptions(batch_size=8, max_epochs=5, checkpoint_every=3)
    difficulty = data["inputs"].norm(dim=1)
    batches = CurriculumBatches(data, difficulty, batch_size=8, epochs=3, start=0.3, mix=0.2, seed=derive(0, "order"))
    return Trainer(
        network,
        [Player("network", network, head_loss(network.head), options, seed=1)],
        batches,
        options,
        callbacks=callbacks,
        store=None if folder is None else CheckpointStore(folder),
    )


@pytest.mark.parametrize(("step", "event", "kept"), [(6, "tick", 3), (8, "epoch", 6), (15, "tick", 12)])
def test_training_that_was_stopped_goes_on_to_the_same_bits(step, event, kept, tmp_path, no_sync):
    whole = trained()
    whole.run()
    with pytest.raises(Crash):
        trained(tmp_path, [crash_at(step, event)]).run()
    on = trained(tmp_path)
    on.run()
    assert on.resumed_from == kept
    assert_same(state(on), state(whole))


def test_losses_of_a_teacher_say_what_is_hard():
    model, data = classifier(dtype=torch.float64), rows(dtype=torch.float64)
    found = example_losses(model, model.head, data, rows=7)
    exact = F.cross_entropy(model(data["inputs"]), data["targets"], reduction="none")
    torch.testing.assert_close(found, exact.detach())
    assert not found.requires_grad


def test_an_estimator_learns_from_a_curriculum(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    margin = X[:, 0] + X[:, 1]
    y = np.where(margin > 0, "yes", "no")

    def batches(encode):
        return CurriculumBatches(encode(X, y), -np.abs(margin), batch_size=32, epochs=5, seed=0)

    settings = {"hidden": (16,), "max_epochs": 10, "learning_rate": 0.01, "random_state": 0}
    model = MLPClassifier(**settings).fit_stream(batches, sample=(X, y))
    assert model.score(X, y) > 0.95
    kept = {"checkpoint": str(tmp_path), "checkpoint_every": 10}
    MLPClassifier(**settings, **kept, max_steps=33).fit_stream(batches, sample=(X, y))
    again = MLPClassifier(**settings, **kept).fit_stream(batches, sample=(X, y))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
