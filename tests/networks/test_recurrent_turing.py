import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.recurrent import CONTROLLERS, NeuralTuringMachine
from gradus.networks.recurrent.addressing import content_weights, interpolate, read, sharpen, shift, write

DOUBLE = {"dtype": torch.float64}


def places(batch=2, heads=3, slots=7):
    return torch.randn(batch, heads, slots, **DOUBLE).softmax(2)


@pytest.mark.parametrize(("slots", "offsets"), [(7, 3), (7, 5), (7, 7), (3, 3), (8, 1)])
def test_shifting_is_a_circular_convolution(slots, offsets):
    weights, kernel = places(slots=slots), torch.rand(2, 3, offsets, **DOUBLE)
    # By the convolution theorem; offset o stands at index o modulo the number of slots.
    full = np.zeros((2, 3, slots))
    for k in range(offsets):
        full[:, :, (k - offsets // 2) % slots] += kernel[:, :, k].numpy()
    wanted = np.fft.ifft(np.fft.fft(weights.numpy()) * np.fft.fft(full)).real
    np.testing.assert_allclose(shift(weights, kernel), wanted, atol=1e-12)


def test_a_certain_shift_moves_and_a_certain_stay_stays():
    weights = places()
    for k, offset in enumerate((-2, -1, 0, 1, 2)):
        kernel = torch.zeros(2, 3, 5, **DOUBLE)
        kernel[:, :, k] = 1
        assert torch.equal(shift(weights, kernel), weights.roll(offset, 2))
    for offsets in (2, 9):
        with pytest.raises(InputError, match="odd number of offsets, 7 at most"):
            shift(weights, torch.ones(2, 3, offsets, **DOUBLE))


def test_weights_stay_probabilities_through_every_stage():
    memory = torch.randn(2, 7, 4, **DOUBLE)
    found = content_weights(memory, torch.randn(2, 3, 4, **DOUBLE), 5 * torch.rand(2, 3, **DOUBLE))
    placed = interpolate(found, places(), torch.rand(2, 3, **DOUBLE))
    moved = shift(placed, torch.randn(2, 3, 3, **DOUBLE).softmax(2))
    sharp = sharpen(moved, 1 + 9 * torch.rand(2, 3, **DOUBLE))
    for weights in (found, placed, moved, sharp):
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, **DOUBLE))


def test_content_is_found_by_direction_whatever_the_lengths():
    memory = torch.randn(2, 7, 4, **DOUBLE)
    keys = 3 * memory[:, [2, 5, 0]]
    strengths = torch.full((2, 3), 500.0, **DOUBLE)
    found = content_weights(memory * torch.rand(2, 7, 1, **DOUBLE).add(0.5), keys, strengths)
    assert found.argmax(2).tolist() == [[2, 5, 0]] * 2
    assert (found.amax(2) > 0.9).all()
    everywhere = content_weights(memory, keys, torch.zeros(2, 3, **DOUBLE))
    torch.testing.assert_close(everywhere, torch.full((2, 3, 7), 1 / 7, **DOUBLE))
    # Entry by entry against the cosine of NumPy.
    M, k = memory[0].numpy(), torch.randn(4, **DOUBLE)
    cosine = M @ k.numpy() / np.linalg.norm(M, axis=1) / np.linalg.norm(k.numpy())
    wanted = np.exp(2.5 * cosine) / np.exp(2.5 * cosine).sum()
    got = content_weights(memory[:1], k[None, None], torch.full((1, 1), 2.5, **DOUBLE))
    np.testing.assert_allclose(got[0, 0], wanted, atol=1e-12)


def test_the_gate_at_its_ends_takes_the_one_or_the_other():
    one, other = places(), places()
    assert torch.equal(interpolate(one, other, torch.ones(2, 3, **DOUBLE)), one)
    assert torch.equal(interpolate(one, other, torch.zeros(2, 3, **DOUBLE)), other)


def test_sharpening_keeps_the_order_and_ends_in_a_point():
    weights = places()
    torch.testing.assert_close(sharpen(weights, torch.ones(2, 3, **DOUBLE)), weights)
    squared = sharpen(weights, torch.full((2, 3), 2.0, **DOUBLE))
    torch.testing.assert_close(squared, weights**2 / (weights**2).sum(2, keepdim=True))
    point = sharpen(weights.float(), torch.full((2, 3), 1e4))
    assert point.isfinite().all() and torch.equal(point.argmax(2), weights.argmax(2))
    tiny = sharpen(torch.full((1, 1, 128), 1 / 128), torch.tensor([[60.0]]))  # (1 / 128)^60 is no single number
    torch.testing.assert_close(tiny, torch.full((1, 1, 128), 1 / 128))


def test_sharpening_has_a_finite_gradient_where_a_weight_is_zero():
    weights = torch.tensor([[[0.0, 0.3, 0.7]]], requires_grad=True)
    power = torch.tensor([[1.5]], requires_grad=True)
    sharpen(weights, power)[0, 0, 2].backward()
    assert weights.grad.isfinite().all() and power.grad.isfinite().all()


@pytest.mark.parametrize("heads", [1, 3])
def test_writing_is_its_equation_slot_by_slot(heads):
    memory, weights = torch.randn(2, 7, 4, **DOUBLE), places(heads=heads)
    erase, add = torch.rand(2, heads, 4, **DOUBLE), torch.randn(2, heads, 4, **DOUBLE)
    written = write(memory, weights, erase, add)
    for n in range(2):
        for i in range(7):
            row = memory[n, i].numpy().copy()
            for h in range(heads):
                row *= 1 - float(weights[n, h, i]) * erase[n, h].numpy()
            for h in range(heads):
                row += float(weights[n, h, i]) * add[n, h].numpy()
            np.testing.assert_allclose(written[n, i], row, atol=1e-12)
    torch.testing.assert_close(written, write(memory, weights.flip(1), erase.flip(1), add.flip(1)))


def test_what_was_written_is_read_again():
    memory, point = torch.randn(1, 5, 3), torch.zeros(1, 1, 5)
    point[0, 0, 3] = 1
    said = torch.randn(1, 1, 3)
    written = write(memory, point, torch.ones(1, 1, 3), said)
    torch.testing.assert_close(read(written, point), said)
    assert torch.equal(written[:, [0, 1, 2, 4]], memory[:, [0, 1, 2, 4]])


def test_gradients_of_addressing_are_true():
    leaf = {"dtype": torch.float64, "requires_grad": True}
    memory, key = torch.randn(1, 4, 2, **leaf), torch.randn(1, 2, 2, **leaf)
    gate, kernel = torch.rand(1, 2, **leaf), torch.rand(1, 2, 3, **leaf)
    before, power = places(1, 2, 4).requires_grad_(), (1 + torch.rand(1, 2, **DOUBLE)).requires_grad_()

    def run(memory, key, gate, kernel, before, power):
        found = interpolate(content_weights(memory, key, 3 * gate), before, gate)
        weights = sharpen(shift(found, kernel.softmax(2)), power)
        return weights, read(write(memory, weights, key.sigmoid(), key), weights)

    assert torch.autograd.gradcheck(run, (memory, key, gate, kernel, before, power))


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_gradients_of_a_machine_are_true(controller):
    machine = NeuralTuringMachine(2, 1, 2, controller=controller, slots=3, cells=2, read_heads=2).double()
    x = torch.randn(1, 3, 2, requires_grad=True, **DOUBLE)
    names = [name for name, _ in machine.named_parameters()]

    def run(x, *parameters):
        made = torch.func.functional_call(machine, dict(zip(names, parameters, strict=True)), (x,))
        return made.outputs, made.weights[:, -1], made.state.memory

    assert torch.autograd.gradcheck(run, (x, *machine.parameters()), fast_mode=True)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_machine_goes_on_from_its_state_and_never_sees_ahead(controller):
    machine = NeuralTuringMachine(3, 2, 8, controller=controller, slots=9, cells=4, read_heads=2, write_heads=2)
    x = torch.randn(2, 7, 3)
    whole = machine(x)
    first = machine(x[:, :4])
    second = machine(x[:, 4:], first.state)
    torch.testing.assert_close(torch.cat([first.outputs, second.outputs], 1), whole.outputs, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.cat([first.weights, second.weights], 1), whole.weights, atol=1e-6, rtol=0)
    torch.testing.assert_close(second.state.memory, whole.state.memory, atol=1e-6, rtol=0)
    alone = machine(x[1:])
    torch.testing.assert_close(alone.outputs[0], whole.outputs[1], atol=1e-6, rtol=0)
    assert whole.weights.shape == (2, 7, 4, 9) and len(whole.state.controller) == (2 if controller == "lstm" else 0)


def test_only_where_heads_begin_grows_with_the_memory():
    small, large = (NeuralTuringMachine(3, 2, 8, slots=n) for n in (10, 110))
    count = [sum(p.numel() for p in machine.parameters()) for machine in (small, large)]
    assert count[1] - count[0] == 2 * 100
    for machine in (small, large):
        first = machine.begin(1).weights[0]
        torch.testing.assert_close(first.sum(1), torch.ones(2))
        torch.testing.assert_close(first[:, 0], torch.full((2,), 0.99))


def test_reading_comes_after_writing():
    """Of a feedforward machine's output at once, part has gone through the memory just written."""
    machine = NeuralTuringMachine(2, 1, 4, controller="feedforward", slots=5, cells=3)
    with torch.no_grad():
        machine.output.weight[:, :4] = 0
    x = torch.randn(1, 1, 2, requires_grad=True)
    machine(x).outputs.sum().backward()
    assert x.grad.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"controller": "gru"}, "controller"),
        ({"slots": 2}, "shift_range"),
        ({"slots": 8, "shift_range": 4}, "shift_range"),
        ({"cells": 0}, "cells"),
        ({"read_heads": 0}, "read_heads"),
        ({"write_heads": 0}, "write_heads"),
        ({"width": 0}, "width"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        NeuralTuringMachine(3, 2, **settings)


def test_wrong_inputs_are_refused():
    machine = NeuralTuringMachine(3, 2, 8, slots=9, cells=4)
    with pytest.raises(InputError, match=r"\(batch, time, 3\)"):
        machine(torch.zeros(2, 5, 4))
    with pytest.raises(InputError, match="a memory of shape"):
        machine(torch.zeros(2, 5, 3), machine.begin(3))


def copies(n, length):
    """Bits to be said again after a mark in a ninth channel."""
    bits = torch.randint(2, (n, length, 8)).float()
    inputs = torch.zeros(n, 2 * length + 1, 9)
    inputs[:, :length, :8], inputs[:, length, 8] = bits, 1
    return inputs, bits


def trained_to_copy(longest, steps, **settings):
    machine = NeuralTuringMachine(9, 8, **settings)
    optimizer = torch.optim.RMSprop(machine.parameters(), lr=3e-4, alpha=0.95, momentum=0.9)
    # At a constant rate a machine that already copies is thrown off again by a rare large gradient.
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for step in range(steps):
        reach = min(longest, 3 + int((longest - 3) * 2 * step / steps))  # short sequences first
        inputs, bits = copies(16, int(torch.randint(1, reach + 1, ())))
        logits = machine(inputs).outputs[:, bits.shape[1] + 1 :]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, bits)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(machine.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return machine


def wrong_bits(machine, length):
    inputs, bits = copies(100, length)
    with torch.no_grad():
        return int(((machine(inputs).outputs[:, length + 1 :] > 0) != bits.bool()).sum())


@pytest.mark.slow
def test_it_learns_copying_to_twenty_and_copies_forty_without_an_error(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checked above, and here half of the time
    with isolated(0):
        machine = trained_to_copy(20, 1000, controller="feedforward")
        assert [wrong_bits(machine, length) for length in (1, 5, 20, 40)] == [0, 0, 0, 0]
        # The heads walk: at every step of the answer the reader is one slot further.
        inputs, _ = copies(1, 40)
        with torch.no_grad():
            reader = machine(inputs).weights[0, 41:, 0].argmax(1)
    assert set((reader.diff() % 128).tolist()) in ({1}, {127})
