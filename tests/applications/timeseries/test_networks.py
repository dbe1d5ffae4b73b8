"""Windows and networks: what a body may see, what scaling leaves unchanged, and the loss against torch's own."""

import numpy as np
import pandas as pd
import pytest
import torch

from gradus.applications.timeseries.networks import BODIES, ForecastLoss, ForecastNetwork, WindowScale, _Causal
from gradus.applications.timeseries.sequence_networks import FullyConvolutional, PreparedSequences, SequenceNorm
from gradus.applications.timeseries.series import read_series
from gradus.applications.timeseries.windows import WindowBatches, Windows
from gradus.core.errors import InputError, SettingError
from gradus.networks.recurrent import RecurrentNetwork, SequenceFeatures

# -- windows -----------------------------------------------------------------------------------------------------------


def ramp(*lengths, **more):
    return read_series([np.arange(float(n)) + 100 * i for i, n in enumerate(lengths)], **more)


def undone(batch, series, i):
    """The batch's values in the units of series ``i``."""
    values = series.values[i]
    return {name: batch[name].double().numpy() * values.std() + values.mean() for name in ("past", "targets")}


def test_windows_hold_a_history_and_what_followed():
    series = ramp(9)
    every, _ = Windows.of(series, (), lookback=4, horizon=2)
    found = undone(every.whole(), series, 0)
    assert len(every) == 4
    np.testing.assert_allclose(found["past"], np.arange(4)[:, None] + np.arange(4), atol=1e-5)
    np.testing.assert_allclose(found["targets"], np.arange(4)[:, None] + [4, 5], atol=1e-5)


def test_no_window_reaches_from_one_series_into_the_next():
    series = ramp(7, 3, 6)  # the second is too short for any
    every, _ = Windows.of(series, (), lookback=3, horizon=2)
    assert len(every) == 3 + 0 + 2
    first, last = every.take(torch.arange(3)), every.take(torch.arange(3, 5))
    np.testing.assert_allclose(undone(first, series, 0)["targets"], [[3, 4], [4, 5], [5, 6]], atol=1e-4)
    np.testing.assert_allclose(undone(last, series, 2)["targets"], [[203, 204], [204, 205]], atol=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_what_is_held_out_lies_after_everything_learned(share):
    series = ramp(60, 40)
    learn, held = Windows.of(series, (), lookback=6, horizon=3, hold_out=share)
    for i, windows in ((0, learn), (1, learn)):
        begin = 60 * i
        own = windows.starts[(windows.starts >= begin) & (windows.starts < begin + series.lengths[i])] - begin
        other = held.starts[(held.starts >= begin) & (held.starts < begin + series.lengths[i])] - begin
        cut = series.lengths[i] - max(3, round(series.lengths[i] * share))
        assert int((own + 6 + 3).max()) == cut  # the last value that is learned
        assert int((other + 6).min()) == cut  # the first that is judged
        assert int((other + 6 + 3).max()) == series.lengths[i]


def test_filled_gaps_are_marked_and_windows_without_a_target_left_out():
    days = pd.date_range("2024-01-01", periods=30)
    values = np.arange(30.0)
    values[10:14] = np.nan
    series = read_series(pd.Series(values, days), gaps="fill")
    every, _ = Windows.of(series, ("weekday",), lookback=3, horizon=2)
    batch = every.whole()
    assert bool(batch["observed"].any(1).all()) and float(batch["observed"].min()) == 0.0
    assert len(every) == 26 - 3  # windows whose two targets are 10-11, 11-12, 12-13
    assert batch["past_calendar"].shape == (23, 3, 6) and batch["future_calendar"].shape == (23, 2, 6)


def test_batches_are_a_function_of_seed_epoch_and_step():
    windows, _ = Windows.of(ramp(60), (), lookback=5, horizon=2)

    def made(seed, epoch, start=0):
        return [b["past"] for b in WindowBatches(windows, batch_size=8, seed=seed).epoch(epoch, start)]

    whole = made(0, 3)
    assert [len(b) for b in whole] == [8] * 6 + [6]
    for one, two in zip(whole[4:], made(0, 3, start=4), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(whole[0], made(0, 4)[0]) and not torch.equal(whole[0], made(1, 3)[0])
    every = torch.cat(whole)[:, 0].sort().values
    assert torch.equal(every, windows.whole()["past"][:, 0].sort().values)  # each window once
    other, _ = Windows.of(ramp(60), (), lookback=5, horizon=3)
    assert WindowBatches(other, batch_size=8).seed != WindowBatches(windows, batch_size=8).seed
    with pytest.raises(InputError, match="one window or more"):
        WindowBatches(windows.at(torch.empty(0, dtype=torch.int64)), batch_size=8)


# -- networks ----------------------------------------------------------------------------------------------------------


def network(body="mlp", calendar=0, **more):
    torch.manual_seed(0)
    made = ForecastNetwork(12, 5, calendar, body=body, width=16, depth=2, **more).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # blocks that start at zero would hide what they see
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize("head", ["quantile", "gaussian"])
@pytest.mark.parametrize("location", ["mean", "last"])
@pytest.mark.parametrize("body", BODIES)
def test_level_and_unit_of_a_series_pass_through(body, location, head):
    made = network(body, location=location, head=head, floor=1e-9)
    past = torch.randn(4, 12, dtype=torch.float64)
    said, moved = made(past), made(1000 * past - 70)
    if head == "quantile":
        torch.testing.assert_close(moved, 1000 * said - 70, rtol=1e-7, atol=1e-5)
        assert bool((said.diff(dim=-1) >= 0).all())
    else:
        torch.testing.assert_close(moved[..., 0], 1000 * said[..., 0] - 70, rtol=1e-7, atol=1e-5)
        torch.testing.assert_close(moved[..., 1], 1000 * said[..., 1], rtol=1e-7, atol=1e-5)
        assert bool((said[..., 1] > 0).all())


@pytest.mark.parametrize("body", BODIES)
def test_every_step_ahead_depends_on_the_window_and_on_its_own_calendar(body):
    made = network(body, calendar=3)
    past = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    before = torch.randn(2, 12, 3, dtype=torch.float64)
    after = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    said = made(past, before, after)
    assert said.shape == (2, 5, 5)
    by_window, by_calendar = torch.autograd.grad(said[0, 2].sum(), [past, after])
    assert bool((by_window[0] != 0).all()) and not by_window[1].any()  # no example sees another
    assert bool((by_calendar[0, 2] != 0).all())
    assert not by_calendar[0, [0, 1, 3, 4]].any()


def test_causal_convolutions_never_look_ahead():
    torch.manual_seed(0)
    body = _Causal(1, 3, 4, 8, 3, 0.0).double()
    for block in body.second:
        torch.nn.init.normal_(block.weight)
    inputs = torch.randn(1, 40, 1, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(body.maps(inputs)[0, :, 30].sum(), inputs)
    reach = 1 + 4 * (2**3 - 1)
    seen = grad[0, :, 0] != 0
    assert not seen[31:].any() and bool(seen[30 - reach + 1 : 31].all()) and not seen[: 30 - reach + 1].any()


def test_the_linear_part_is_a_forecast_by_itself():
    """With the rest silent the median is the linear map of the window: set to repeat it, it is the naive forecast."""
    made = ForecastNetwork(6, 6, location="mean", head="gaussian")
    with torch.no_grad():
        made.head.linear.weight[:, :-1] = 0
        made.linear.weight.copy_(torch.eye(6))
    past = torch.randn(3, 6)
    torch.testing.assert_close(made(past)[..., 0], past, rtol=1e-4, atol=1e-5)


def test_a_flat_window_does_not_blow_up():
    location, scale = WindowScale("mean", floor=0.5)(torch.full((2, 4), 7.0))
    assert location.tolist() == [[7.0]] * 2 and scale.tolist() == [[0.5]] * 2
    made = network(floor=0.1).float()
    said = made(torch.full((1, 12), 7.0)).detach()
    assert bool(said.isfinite().all()) and float((said - 7).abs().max()) < 2


def test_loss_counts_observed_steps_in_units_of_the_window():
    made = network(head="gaussian", floor=1e-9).float()
    batch = {
        "past": torch.randn(4, 12),
        "past_calendar": torch.empty(4, 12, 0),
        "future_calendar": torch.empty(4, 5, 0),
        "targets": torch.randn(4, 5),
        "observed": (torch.rand(4, 5) > 0.4).float(),
    }
    parameters = made(batch["past"])
    scale = batch["past"].std(1, correction=0, keepdim=True)
    nll = -torch.distributions.Normal(*parameters.unbind(-1)).log_prob(batch["targets"]) - scale.log()
    found = ForecastLoss(metrics=True)(made, batch, torch.Generator())
    torch.testing.assert_close(found.total, (nll * batch["observed"]).sum(), rtol=1e-4, atol=1e-4)
    assert float(found.count) == float(batch["observed"].sum())
    error = (parameters[..., 0] - batch["targets"]).abs() / scale
    torch.testing.assert_close(found.metrics["absolute_error"], (error * batch["observed"]).sum())
    # what stands in a gap plays no part; the window and what followed in another unit give the same loss
    hidden = {**batch, "targets": torch.where(batch["observed"] > 0, batch["targets"], 1e6)}
    torch.testing.assert_close(ForecastLoss()(made, hidden, torch.Generator()).total, found.total)
    larger = {**batch, "past": 50 * batch["past"] + 3, "targets": 50 * batch["targets"] + 3}
    torch.testing.assert_close(ForecastLoss()(made, larger, torch.Generator()).total, found.total, rtol=1e-3, atol=1e-2)


def test_wrong_networks_and_windows_are_refused():
    with pytest.raises(SettingError, match="did you mean 'lstm'"):
        ForecastNetwork(12, 5, body="lstn")
    with pytest.raises(InputError, match=r"\(batch, 12\)"):
        network().float()(torch.zeros(2, 11))
    with pytest.raises(InputError, match="3 calendar features"):
        network(calendar=3).float()(torch.zeros(2, 12))


# -- networks on whole series ------------------------------------------------------------------------------------------


def bodies():
    torch.manual_seed(0)
    recurrent = SequenceFeatures(RecurrentNetwork(3, 8, bidirectional=True), "mean")
    return {"fcn": FullyConvolutional(3, 8), "lstm": recurrent}


@pytest.mark.parametrize("train", [False, True], ids=["answering", "training"])
@pytest.mark.parametrize("name", ["fcn", "lstm"])
def test_padding_never_changes_a_result(name, train):
    made = PreparedSequences(torch.tensor([1.0, -2, 0]), torch.tensor([2.0, 1, 3]), bodies()[name]).train(train)
    lengths = torch.tensor([9, 4, 7])
    short = torch.randn(3, 9, 3)
    longer = torch.cat([short, torch.full((3, 6, 3), 1e3)], 1)
    for row, length in enumerate(lengths):
        short[row, length:] = 7.0
        longer[row, length:] = -1e3
    torch.testing.assert_close(made(longer, lengths), made(short, lengths), rtol=1e-5, atol=1e-5)
    if not train:  # each series by itself, where no batch statistics tie them
        alone = torch.cat([made(short[i : i + 1, :n], None) for i, n in enumerate(lengths)])
        torch.testing.assert_close(made(short, lengths), alone, rtol=1e-5, atol=1e-5)


def test_statistics_of_a_batch_are_those_of_valid_steps():
    layer = SequenceNorm(2).train()
    maps, lengths = torch.randn(3, 2, 6) * 4 + 1, torch.tensor([6, 2, 4])
    valid = torch.arange(6) < lengths[:, None]
    found = layer(maps, valid).transpose(1, 2)
    steps = maps.transpose(1, 2)[valid]
    expected = (steps - steps.mean(0)) / (steps.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(found[valid], expected)
    assert not found[~valid].any()
