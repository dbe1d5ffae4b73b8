import signal
import time

import numpy as np
import pytest
import torch

from gradus.core.errors import InputError, NonFiniteError
from gradus.core.trees import flatten
from gradus.data.batches import TensorBatches
from gradus.training.checkpoints import CheckpointStore
from gradus.training.losses import Loss, head_loss
from gradus.training.player import Player
from training.small import Crash, classifier, crash_at, measured, rows, trainer

pytestmark = pytest.mark.usefixtures("no_sync")


def weights(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def assert_weights(network, wanted):
    for name, value in network.state_dict().items():
        assert torch.equal(value, wanted[name]), name


# -- budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "ended", "steps", "epochs"),
    [
        ({"max_epochs": 2}, "max_epochs", 8, 2),
        ({"max_epochs": 0}, "max_epochs", 0, 0),
        ({"max_epochs": 9, "max_steps": 1}, "max_steps", 1, 1),
        ({"max_epochs": 9, "max_steps": 6}, "max_steps", 6, 2),
        ({"max_epochs": 9, "max_steps": 8}, "max_steps", 8, 2),
        ({"max_epochs": 1, "max_steps": 5}, "max_epochs", 4, 1),
    ],
)
def test_a_budget_ends_training_where_it_says(budget, ended, steps, epochs):
    trained = trainer(evaluate=measured(rows()), **budget)
    assert trained.run() == trained.finished == ended
    assert (trained.step, len(trained.history)) == (steps, epochs)
    assert [row["epoch"] for row in trained.history] == list(range(epochs))
    assert all("valid_loss" in row for row in trained.history)  # the cut epoch is measured too


def test_the_first_steps_do_not_depend_on_the_budget_that_ends_them():
    long, short = trainer(max_epochs=2), trainer(max_steps=4, max_epochs=9)
    kept = []
    long.callbacks.append(lambda t, event: kept.append(weights(t.network)) if event == "epoch" else None)
    long.run()
    short.run()
    assert_weights(short.network, kept[0])


def test_a_time_budget_ends_training_within_a_step_of_its_time():
    network = classifier()

    def slow(network, batch, source):
        time.sleep(0.02)
        return head_loss(network.head)(network, batch, source)

    trained = trainer(network=network, loss=slow, max_epochs=10_000, max_time=0.3)
    start = time.perf_counter()
    assert trained.run() == "max_time"
    took = time.perf_counter() - start
    assert 0.3 <= trained.elapsed <= took
    assert 2 <= trained.step <= 15  # 0.02 s or more each
    assert trained.history[-1]["seconds"] >= 0.3


def test_time_that_validation_takes_counts():
    def evaluate(network):
        time.sleep(0.15)
        return measured(rows())(network)

    trained = trainer(evaluate=evaluate, max_epochs=10_000, max_time=0.2)
    assert trained.run() == "max_time"
    assert len(trained.history) <= 2 and trained.offset == 0


def test_no_batches_are_refused():
    with pytest.raises(InputError, match="at least one batch an epoch, got none"):
        trainer_without_batches()


def trainer_without_batches():
    class Nothing(TensorBatches):
        def __len__(self):
            return 0

    good = trainer()
    return type(good)(good.network, good.players, Nothing(rows(), batch_size=8), good.options)


def test_a_callback_can_end_training_at_an_epoch_and_inside_one(tmp_path):
    def stop(event, step):
        def callback(trained, happened):
            if happened == event and trained.step == step:
                trained.finished = "enough"

        return callback

    trained = trainer(max_epochs=9, callbacks=[stop("epoch", 8)])
    assert trained.run() == "enough" and trained.step == 8
    trained = trainer(tmp_path, max_epochs=9, callbacks=[stop("tick", 6)], checkpoint_every=3)
    assert trained.run() == "enough" and trained.step == 6
    again = trainer(tmp_path, max_epochs=2, checkpoint_every=3)
    assert again.run() == "max_epochs" and again.resumed_from == 6
    whole = trainer(max_epochs=2)
    whole.run()
    assert_weights(again.network, weights(whole.network))


def test_an_extra_condition_ends_training():
    trained = trainer(max_epochs=200, learning_rate=0.05, until=lambda row: row["loss"] < 0.5)
    assert trained.run() == "target"
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.5 <= min(losses[:-1])


# -- non-finite numbers ----------------------------------------------------------------------------------------------


def poisoned(network, at, how="loss"):
    """The loss of a classifier that turns bad in step ``at``: by itself, or by its gradient alone."""
    calls = []

    def loss(network, batch, source):
        calls.append(None)
        result = head_loss(network.head)(network, batch, source)
        if len(calls) - 1 != at:
            return result
        if how == "loss":
            return result._replace(total=result.total * float("nan"))
        if how == "infinity":
            return result._replace(total=result.total + float("inf"))
        weight = next(network.parameters())
        return result._replace(total=result.total + (weight * 0).abs().sqrt().sum())  # 0, of slope infinity times 0

    return loss


@pytest.mark.parametrize("how", ["loss", "infinity"])
@pytest.mark.parametrize("step", [0, 2, 3, 4, 9, 11])
def test_a_bad_loss_names_its_step_and_leaves_the_last_good_weights(step, how):
    network, good = classifier(normalization="batch"), []
    good.append(weights(network))
    trained = trainer(network=network, loss=poisoned(network, step, how), learning_rate=0.1)
    trained.callbacks.append(lambda t, event: good.append(weights(t.network)) if event == "epoch" else None)
    with pytest.raises(NonFiniteError) as caught:
        trained.run()
    text = str(caught.value)
    assert f"at step {step} (epoch {step // 4})" in text
    assert f"the weights of step {step // 4 * 4} are kept" in text
    assert len(good) == step // 4 + 1
    assert_weights(network, good[-1])
    assert all(torch.isfinite(v).all() for v in network.state_dict().values())


def test_a_bad_gradient_with_a_good_loss_is_found_too():
    network = classifier()
    with pytest.raises(NonFiniteError, match=r"a finite loss, got NaN or infinity at step 2 "):
        trainer(network=network, loss=poisoned(network, 1, "gradient")).run()
    network = classifier()  # in the last step no further loss can tell
    with pytest.raises(NonFiniteError, match=r"a finite weight after the update, got NaN or infinity at step 11 "):
        trainer(network=network, loss=poisoned(network, 11, "gradient")).run()
    assert all(torch.isfinite(v).all() for v in network.state_dict().values())


def has_nan(tree):
    return any(t.is_floating_point() and torch.isnan(t).any() for t in flatten(tree)[0].values())


@pytest.mark.parametrize("every", [1, 3, 4])
@pytest.mark.parametrize("step", [0, 4, 5, 7, 11])
def test_no_checkpoint_with_a_nan_is_written_and_earlier_ones_stay(step, every, tmp_path):
    network = classifier()
    whole = []
    reference = trainer(callbacks=[lambda t, event: whole.append((t.step, weights(t.network)))], checkpoint_every=1)
    reference.store = CheckpointStore(tmp_path / "reference")
    reference.run()
    at_step = dict(whole)
    trained = trainer(tmp_path / "run", network=network, loss=poisoned(network, step), checkpoint_every=every)
    with pytest.raises(NonFiniteError, match=f"at step {step} "):
        trained.run()
    store = CheckpointStore(tmp_path / "run")
    last = step // every * every
    assert store.steps()[-1:] == ([last] if last else [])
    for saved in store.steps():
        parts = store.load(saved).parts
        assert not has_nan(parts)
        for name, value in parts["model"].items():
            assert torch.equal(value, at_step[saved][name])
    good = max(last, step // 4 * 4)  # checked when it was saved or when its epoch ended, whichever came last
    assert_weights(network, at_step[good] if good else weights(classifier()))
    assert f"the weights of step {good} are kept" in message_of(tmp_path / "run", step, every)


def message_of(folder, step, every):
    """Train on from the checkpoint into the same NaN: the error is the same."""
    network = classifier(5)
    done = (CheckpointStore(folder).steps() or [0])[-1]
    with pytest.raises(NonFiniteError) as caught:
        trainer(folder, network=network, loss=poisoned(network, step - done), checkpoint_every=every).run()
    return str(caught.value)


def test_after_a_resume_the_last_good_weights_are_those_of_the_checkpoint_at_least(tmp_path):
    with pytest.raises(Crash):
        trainer(tmp_path, checkpoint_every=1, callbacks=[crash_at(3)]).run()
    saved = CheckpointStore(tmp_path).load().parts["model"]
    network = classifier(9)
    with pytest.raises(NonFiniteError, match="the weights of step 2 are kept"):
        trainer(tmp_path, network=network, loss=poisoned(network, 0), checkpoint_every=100).run()
    assert_weights(network, saved)


def test_the_earliest_bad_step_of_several_players_is_named():
    network = classifier()
    good = trainer(network=network)
    body = Player("body", network, poisoned(network, 3), good.options, parameters=network.body.parameters())
    head = Player("head", network, poisoned(network, 2), good.options, parameters=network.head.parameters())
    game = type(good)(network, [body, head], good.batches, good.options)
    with pytest.raises(NonFiniteError, match="a finite loss of player head, got NaN or infinity at step 2 "):
        game.run()


def test_an_average_has_no_part_in_what_is_kept():
    network = classifier()
    start = weights(network)
    with pytest.raises(NonFiniteError):
        trainer(network=network, loss=poisoned(network, 1), average_decay=0.9).run()
    assert_weights(network, start)


# -- global state ----------------------------------------------------------------------------------------------------


def surroundings():
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradient": torch.is_grad_enabled(),
        "SIGINT": signal.getsignal(signal.SIGINT),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
    }


def assert_untouched(before):
    after = surroundings()
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    assert before == after


@pytest.mark.parametrize("ending", ["well", "nan", "error", "error at start", "interrupt"])
def test_nothing_global_is_changed(ending, tmp_path):
    network = classifier(dropout=0.5)
    loss = poisoned(network, 5) if ending == "nan" else None
    callbacks = {
        "error": [crash_at(6)],
        "error at start": [crash_at(0, "start")],
        "interrupt": [lambda t, event: signal.raise_signal(signal.SIGINT) if (event, t.step) == ("tick", 3) else None],
    }.get(ending, [])
    settings = {"weight_noise": 0.1, "checkpoint_every": 1, "computing_threads": 1 + torch.get_num_threads()}
    trained = trainer(tmp_path, network=network, loss=loss, callbacks=callbacks, **settings)
    before = surroundings()
    if ending in ("well", "interrupt"):
        assert trained.run() == {"well": "max_epochs", "interrupt": "interrupted"}[ending]
    else:
        with pytest.raises(NonFiniteError if ending == "nan" else Crash):
            trained.run()
    assert_untouched(before)


def test_callbacks_that_were_told_of_the_start_are_told_of_the_end_whatever_happens():
    told = []
    witness = [lambda t, event: told.append(event)]
    with pytest.raises(Crash):
        trainer(callbacks=[*witness, crash_at(4, "epoch")]).run()
    assert told == ["start", "epoch", "stop"]
    told.clear()
    with pytest.raises(Crash):
        trainer(callbacks=[crash_at(0, "start"), *witness]).run()
    assert told == []  # not told of the start either
    trainer(max_epochs=2, callbacks=witness).run()
    assert [event for event in told if event != "tick"] == ["start", "epoch", "epoch", "stop"]


def test_training_inside_no_grad_trains():
    with torch.no_grad():
        trained = trainer(max_epochs=1)
        trained.run()
        assert not torch.is_grad_enabled()
    plain = trainer(max_epochs=1)
    plain.run()
    assert_weights(trained.network, weights(plain.network))


def test_the_network_ends_in_evaluation_mode_also_after_an_error():
    trained = trainer(callbacks=[crash_at(4, "epoch")])
    with pytest.raises(Crash):
        trained.run()
    assert not trained.network.training and trained.elapsed > 0


def test_the_hot_loop_fetches_nothing_from_the_device():
    """Reading a number makes an accelerator wait: in a step without checks none may be read."""
    network = classifier(dropout=0.2)
    settings = {"gradient_clip": 1.0, "l1": 0.1, "l2": 0.1, "max_norm": 1.0, "average_decay": 0.9, "optimizer": "adam"}
    trained = trainer(network=network, accumulate=2, weight_noise=0.1, **settings)
    trained._begin()
    batches = list(trained.batches.epoch(0))
    trained._update(batches[0])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("item", "tolist", "__float__", "__bool__", "__int__", "cpu", "numpy"):
            patch.setattr(torch.Tensor, name, lambda *a, name=name, **k: pytest.fail(f"{name} in the hot loop"))
        trained._update(batches[1])
        assert not trained._due()


def test_weights_that_are_counted_on_the_device_are_summed_exactly():
    data = {**rows(), "weights": torch.linspace(0.1, 3, 26)}
    trained = trainer(data=data, max_epochs=1, optimizer="sgd", learning_rate=1e-12)
    trained.run()
    network = classifier()
    loss = head_loss(network.head)(network, data, torch.Generator())
    assert isinstance(loss, Loss)
    assert trained.history[0]["loss"] == pytest.approx((loss.total / loss.count).item(), rel=1e-6)
