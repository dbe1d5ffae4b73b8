"""Compiled steps, with backends that need no C++ compiler: the same numbers, names and positions as plain ones."""

import pytest
import torch
from torch import nn

from gradus.core.errors import InputError
from gradus.core.randomness import generator, isolated
from gradus.training import compilation
from gradus.training.losses import Loss
from gradus.training.probes import choose_compile
from training.small import Crash, assert_same, crash_at, rows, state, trainer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it traces


class Calls:
    """A backend that counts the graphs it is given and the calls of each."""

    def __init__(self, fails=False):
        self.graphs, self.runs, self.fails = 0, [], fails

    def __call__(self, graph, examples):
        if self.fails:
            raise RuntimeError("no compiler here")
        self.graphs += 1

        def run(*inputs):
            self.runs.append(len(inputs[0]) if isinstance(inputs[0], torch.Tensor) else inputs[0])
            return graph.forward(*inputs)

        return run


@pytest.fixture
def backend(monkeypatch):
    torch._dynamo.reset()
    calls = Calls()
    monkeypatch.setattr(compilation, "BACKEND", calls)
    yield calls
    torch._dynamo.reset()


def network(seed=0, dropout=0.3):
    with isolated(seed):
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3))


def loss(net, batch, source):
    noise = 0.1 * torch.randn(batch["inputs"].shape, generator=source)
    total = nn.functional.cross_entropy(net(batch["inputs"] + noise), batch["targets"], reduction="sum")
    return Loss(total, float(len(batch["targets"])), {})


def build(folder=None, **settings):
    return trainer(folder, network=network(), loss=loss, **settings)


def test_compiled_steps_are_plain_steps_under_the_same_names(backend):
    compiled, plain = build(compile="on"), build()
    names = list(compiled.network.state_dict())
    for run in (compiled, plain):
        run.run()
    assert compiled.players[0].execution == "compiled" and plain.players[0].execution == "eager"
    assert list(compiled.network.state_dict()) == names and not any("_orig_mod" in name for name in names)
    for one, other in zip(compiled.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert backend.graphs >= 1 and compiled.network._compiled_call_impl is None


def test_the_small_last_batch_and_the_evaluation_are_not_compiled(backend):
    sizes = []
    run = build(compile="on", evaluate=lambda net: sizes.append(len(net(rows(5)["inputs"]))) or {"loss": 1.0})
    run.run()
    assert run.step == 12 and sizes == [5, 5, 5]
    assert backend.graphs >= 1
    assert len(backend.runs) == 9 * backend.graphs  # of each epoch's four steps three are whole
    assert run.players[0]._compiled.rows == 8


def test_a_failing_compiler_costs_nothing_but_its_time(backend):
    backend.fails = True
    failed, plain = build(compile="on"), build()
    for run in (failed, plain):
        run.run()
    assert "not compiled: BackendCompilerFailed" in failed.players[0].execution
    for one, other in zip(failed.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)  # statistics, dropout and noise of the failed attempt are taken back
    assert failed.history[-1]["loss"] == plain.history[-1]["loss"]


def test_an_error_of_the_user_is_no_fault_of_the_compiler(backend):
    def refusing(net, batch, source):
        raise InputError("one thing", "another", "change it")

    run = trainer(network=network(), loss=refusing, compile="on")
    with pytest.raises(InputError, match="one thing"):
        run.run()
    assert run.players[0]._compiled.reason is None


def test_a_compiled_training_goes_on_from_its_checkpoint(backend, tmp_path, no_sync):
    whole = build(compile="on", checkpoint_every=1)
    whole.run()
    for stop in (5, 9):
        with pytest.raises(Crash):
            build(tmp_path, compile="on", checkpoint_every=1, callbacks=[crash_at(stop)]).run()
    last = build(tmp_path, compile="on", checkpoint_every=1)
    last.run()
    assert last.resumed_from == 8 and last.players[0]._compiled.rows == 8
    assert_same(state(whole), state(last))


def test_a_hook_is_called_though_it_came_after_the_compiler(backend):
    run, heard = build(compile="on", max_epochs=1), []
    for step, batch in enumerate(run.batches.epoch(0)):
        if step == 1:
            handle = run.network[0].register_forward_hook(lambda *_: heard.append(1))
        if step == 2:
            handle.remove()
        run.players[0].update(batch, step, 1.0)
    assert len(heard) == 1 and len(backend.runs) == 2 * backend.graphs > 0


def test_what_a_checkpoint_was_made_with_counts(backend, tmp_path, no_sync):
    with pytest.raises(Crash):
        build(tmp_path, compile="on", checkpoint_every=1, callbacks=[crash_at(5)]).run()
    last = build(tmp_path, compile="off", checkpoint_every=1)
    last.run()
    assert last.options.compile == "on" and last.players[0].execution == "compiled"


def test_auto_leaves_networks_on_the_processor_as_they_are():
    def never(net, batch, source):
        pytest.fail("a probe")

    for asked, answer in (("auto", "off"), ("on", "on"), ("off", "off")):
        assert choose_compile(network(), never, rows(), asked, steps=10**9, bf16=False) == answer


def test_an_estimator_compiles_and_says_so(backend):
    from gradus import MLPClassifier

    X = torch.randn(40, 3, generator=generator(0)).numpy()
    settings = {"hidden": (8,), "max_epochs": 2, "batch_size": 16, "random_state": 0, "n_threads": 1}
    models = [MLPClassifier(compile=c, **settings).fit(X, X[:, 0] > 0) for c in ("on", "off")]
    assert [model.execution_ for model in models] == ["compiled", "eager"]
    torch.testing.assert_close(*(torch.from_numpy(model.predict_proba(X)) for model in models))
