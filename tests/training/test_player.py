import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import derive, generator, isolated
from gradus.data.batches import TensorBatches
from gradus.networks import MLP
from gradus.training.loop import Trainer
from gradus.training.losses import Loss, head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from training.small import CLASSES, FEATURES, Flat, classifier, rows, trainer

DOUBLE = torch.float64


def gradient_of(network, loss, batch, accumulate, **options):
    """The gradient a player hands to its optimizer: read from a step of size one."""
    settings = TrainingOptions(optimizer="sgd", learning_rate=1.0, accumulate=accumulate, **options)
    before = [p.detach().clone() for p in network.parameters()]
    player = Player("only", network, loss, settings)
    player.update(batch, 0, 1.0)
    gradient = [b - p.detach() for b, p in zip(before, network.parameters(), strict=True)]
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), before, strict=True):
            parameter.copy_(value)
    return gradient, float(player.totals[0]), float(player.counts[0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 20), parts=st.integers(1, 25), weighted=st.booleans(), seed=st.integers(0, 99), l2=st.booleans()
)
def test_accumulated_gradients_are_the_whole_batchs(n, parts, weighted, seed, l2):
    network, batch = classifier(seed, dtype=DOUBLE), rows(n, seed, DOUBLE)
    if weighted:
        batch["weights"] = torch.rand(n, generator=generator(seed), dtype=DOUBLE) * 3 + 0.01
    options = {"l2": 0.1} if l2 else {}
    whole = gradient_of(network, head_loss(network.head), batch, 1, **options)
    cut = gradient_of(network, head_loss(network.head), batch, parts, **options)
    for one, other in zip(whole[0], cut[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert whole[1:] == pytest.approx(cut[1:], rel=1e-12)
    assert max(g.abs().max().item() for g in whole[0]) > 1e-6


class Tagger(nn.Module):
    """A label for each token of a sentence."""

    def __init__(self):
        super().__init__()
        self.words, self.labels = nn.Embedding(11, 5), nn.Linear(5, 4)

    def forward(self, tokens):
        return self.labels(torch.tanh(self.words(tokens)))


def token_loss(network, batch, source):
    each = F.cross_entropy(network(batch["tokens"]).movedim(-1, 1), batch["labels"], reduction="none")
    return Loss((each * batch["mask"]).sum(), batch["mask"].sum(), {})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12), parts=st.integers(1, 13), seed=st.integers(0, 99))
def test_accumulation_over_sentences_of_unequal_length_counts_tokens(lengths, parts, seed):
    lengths[0] = max(1, lengths[0])
    source = generator(seed)
    shape = (len(lengths), 9)
    batch = {
        "tokens": torch.randint(11, shape, generator=source),
        "labels": torch.randint(4, shape, generator=source),
        "mask": torch.arange(9) < torch.tensor(lengths)[:, None],
    }
    with isolated(seed):
        network = Tagger().double()
    keep = batch["mask"]
    mean = F.cross_entropy(network(batch["tokens"])[keep], batch["labels"][keep])  # over all tokens at once
    wanted = torch.autograd.grad(mean, list(network.parameters()))
    for accumulate in (1, parts):
        gradient, total, count = gradient_of(network, token_loss, batch, accumulate)
        assert count == sum(lengths) and total / count == pytest.approx(mean.item(), rel=1e-12)
        for one, other in zip(gradient, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# L-BFGS on changing batches amplifies the last bit beyond any tolerance: two steps, forty iterations, on one batch.
@pytest.mark.parametrize(("name", "size", "steps"), [("adam", 8, 12), ("lbfgs", 26, 2)])
def test_a_whole_training_with_accumulation_ends_where_one_without_does(name, size, steps):
    networks = [classifier(dtype=DOUBLE) for _ in range(2)]
    settings = {"optimizer": name, "learning_rate": 0.05, "l2": 0.1, "batch_size": size, "max_steps": steps}
    settings |= {} if name == "lbfgs" else {"gradient_clip": 0.5}
    runs = [
        trainer(network=network, data=rows(dtype=DOUBLE), accumulate=parts, **settings)
        for network, parts in zip(networks, (1, 3), strict=True)
    ]
    for run in runs:
        run.run()
    for one, other in zip(*(n.parameters() for n in networks), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    assert [r["loss"] for r in runs[0].history] == pytest.approx([r["loss"] for r in runs[1].history], rel=1e-9)


def test_a_loss_that_compares_examples_is_not_cut():
    def contrast(network, batch, source):
        features = network(batch["inputs"])
        return Loss((features @ features.T).logsumexp(1).sum(), float(len(features)), {})

    contrast.decomposes = False
    Player("one", classifier(), contrast, TrainingOptions())
    with pytest.raises(SettingError, match="does not decompose over examples, got accumulate=2"):
        Player("one", classifier(), contrast, TrainingOptions(accumulate=2))


def test_batch_normalization_is_not_cut_and_layer_normalization_is():
    options = TrainingOptions(accumulate=2)
    network = classifier(normalization="layer")
    Player("one", network, head_loss(network.head), options)
    network = classifier(normalization="batch")
    with pytest.raises(SettingError, match="accumulate=1 with batch normalization, got accumulate=2"):
        Player("one", network, head_loss(network.head), options)


def test_an_empty_batch_is_refused():
    network = classifier()
    player = Player("one", network, head_loss(network.head), TrainingOptions(accumulate=2))
    with pytest.raises(InputError, match="a batch with examples"):
        player.update({k: v[:0] for k, v in rows().items()}, 0, 1.0)


# -- two players ---------------------------------------------------------------------------------------------------


class Duel(nn.Module):
    """The saddle ``V(x, y) = x y + a/2 x² - a/2 y²``, which x lowers and y raises: the equilibrium is the origin."""

    def __init__(self, x=1.0, y=-0.7):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.tensor(x, dtype=DOUBLE)), nn.Parameter(torch.tensor(y, dtype=DOUBLE))

    def value(self, n, strength=0.5):
        return n * (self.x * self.y + strength / 2 * (self.x**2 - self.y**2))


def duel(network, every=(1, 1), epochs=1, per_epoch=50, rate=0.1, **options):
    signs = {"low": 1.0, "high": -1.0}
    settings = TrainingOptions(optimizer="sgd", learning_rate=rate, max_epochs=epochs, **options)
    players = [
        Player(
            name,
            network,
            lambda n, batch, source, sign=sign: Loss(sign * n.value(len(batch["inputs"])), len(batch["inputs"]), {}),
            settings,
            parameters=[parameter],
            every=often,
            seed=derive(0, name),
        )
        for (name, sign), parameter, often in zip(signs.items(), (network.x, network.y), every, strict=True)
    ]
    batches = TensorBatches({"inputs": torch.zeros(3 * per_epoch)}, batch_size=3)
    return Trainer(network, players, batches, settings)


def test_two_players_in_turns_follow_the_closed_form_of_alternating_steps():
    network = Duel()
    x, y = network.x.item(), network.y.item()
    duel(network, per_epoch=10).run()
    for _ in range(10):
        x = x - 0.1 * (y + 0.5 * x)
        y = y + 0.1 * (x - 0.5 * y)  # sees the x that has moved
    assert network.x.item() == pytest.approx(x, abs=1e-14) and network.y.item() == pytest.approx(y, abs=1e-14)


def test_two_players_reach_the_equilibrium_and_report_a_loss_each():
    network = Duel()
    trained = duel(network, epochs=4, rate=0.3)
    trained.run()
    assert abs(network.x.item()) < 1e-9 and abs(network.y.item()) < 1e-9
    assert {"low_loss", "high_loss"} <= trained.history[0].keys() and "loss" not in trained.history[0]
    assert trained.history[0]["low_loss"] != pytest.approx(trained.history[0]["high_loss"])


def test_a_player_with_every_acts_on_every_so_manyth_batch_only():
    network = Duel()
    x, y = network.x.item(), network.y.item()
    trained = duel(network, every=(3, 1), per_epoch=10)
    trained.run()
    for step in range(10):
        if step % 3 == 0:
            x = x - 0.1 * (y + 0.5 * x)
        y = y + 0.1 * (x - 0.5 * y)
    assert network.x.item() == pytest.approx(x, abs=1e-14) and network.y.item() == pytest.approx(y, abs=1e-14)


def test_an_epoch_in_which_a_player_does_not_move_reports_no_loss_of_it():
    trained = duel(Duel(), every=(7, 1), per_epoch=2, epochs=3, schedule="plateau")
    trained.run()
    assert ["low_loss" in row for row in trained.history] == [True, False, False]
    assert all("high_loss" in row for row in trained.history)


class Game(nn.Module):
    """A generator that shifts and scales noise, and a critic on the line, with batch normalization in neither."""

    def __init__(self):
        super().__init__()
        self.generator = nn.Linear(1, 1)
        self.critic = MLP(1, (16, 16), activation="leaky_relu")
        self.score = nn.Linear(16, 1)

    def judged(self, values):
        return self.score(self.critic(values)).squeeze(1)

    def drawn(self, n, source):
        return self.generator(torch.randn(n, 1, generator=source))


def critic_loss(network, batch, source):
    n = len(batch["inputs"])
    made = network.drawn(n, source).detach()
    real, false = network.judged(batch["inputs"]), network.judged(made)
    total = F.softplus(-real).sum() + F.softplus(false).sum()
    return Loss(total, float(n), {})


def generator_loss(network, batch, source):
    n = len(batch["inputs"])
    return Loss(F.softplus(-network.judged(network.drawn(n, source))).sum(), float(n), {})


def game(critic_every=1, generator_every=1, epochs=1, **options):
    with isolated(0):
        network = Game()
    data = 2.0 + 0.5 * torch.randn(2000, 1, generator=generator(3))
    base = {"optimizer": "adam", "max_epochs": epochs, **options}
    judge = [*network.critic.parameters(), *network.score.parameters()]
    critic = TrainingOptions(learning_rate=0.01, weight_decay=0.0, **base)
    maker = TrainingOptions(learning_rate=0.005, **base)
    players = [
        Player("critic", network, critic_loss, critic, parameters=judge, every=critic_every, seed=1),
        Player(
            "generator",
            network,
            generator_loss,
            maker,
            parameters=network.generator.parameters(),
            every=generator_every,
            seed=2,
        ),
    ]
    return Trainer(network, players, TensorBatches({"inputs": data}, batch_size=100), critic)


def test_a_generator_learns_where_the_data_lie():
    trained = game(epochs=25)
    trained.run()
    with torch.no_grad():
        made = trained.network.drawn(4000, generator(9))
    assert made.mean().item() == pytest.approx(2.0, abs=0.25)
    assert 0.2 < made.std().item() < 0.8


@pytest.mark.parametrize(("critic", "maker"), [(1, 10**6), (10**6, 1)], ids=["critic", "generator"])
def test_a_player_moves_its_own_parameters_and_no_gradient_leaks_into_others(critic, maker):
    trained = game(critic, maker)
    network = trained.network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    first = [p.detach().clone() for p in network.parameters()]
    for player in trained.players:
        player.every = 1 if player.every == 1 else 10**6
    active, idle = sorted(trained.players, key=lambda p: p.every)
    batches = trained.batches.epoch(0)
    next(batches)
    for step, batch in enumerate(batches):
        active.update(batch, step, 1.0)
    own = {id(p) for p in active.parameters}
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) not in own), name
    assert all(p.grad is None for p in idle.parameters)
    assert len(first) == len(own) + len(idle.parameters)


def test_a_gradient_clip_of_one_player_measures_its_own_parameters():
    network = Flat(3.0, 4.0)
    other = nn.Parameter(torch.tensor(1000.0))
    network.register_parameter("other", other)

    def loss(network, batch, source):
        return Loss((network.point**2).sum() / 2 + network.other**2, 1.0, {})

    options = TrainingOptions(optimizer="sgd", learning_rate=1.0, gradient_clip=1.0)
    Player("point", network, loss, options, parameters=[network.point]).update({"inputs": torch.zeros(1)}, 0, 1.0)
    torch.testing.assert_close(network.point.data, torch.tensor([3.0 - 0.6, 4.0 - 0.8]), rtol=1e-5, atol=1e-5)
    assert other.item() == 1000.0 and other.grad is None


def test_the_features_of_the_small_data_are_learnable():
    trained = trainer(max_epochs=60, learning_rate=0.05)
    trained.run()
    assert trained.history[-1]["loss"] < 0.2 < 0.8 < trained.history[0]["loss"]
    assert (FEATURES, CLASSES) == (4, 3)
