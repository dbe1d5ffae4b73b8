import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.attention import Attention, padding_mask, watch_attention
from gradus.networks.positions import RotaryPositions


def like_torch(layer, source_width=None):
    """torch's own layer with the weights of ours."""
    width = layer.width
    theirs = nn.MultiheadAttention(width, layer.heads, kdim=source_width, vdim=source_width, batch_first=True)
    with torch.no_grad():
        theirs.out_proj.weight.copy_(layer.output.weight)
        theirs.out_proj.bias.copy_(layer.output.bias)
        if source_width is None:
            theirs.in_proj_weight.copy_(layer.query_key_value.weight)
            theirs.in_proj_bias.copy_(layer.query_key_value.bias)
        else:
            theirs.q_proj_weight.copy_(layer.query.weight)
            theirs.k_proj_weight.copy_(layer.key_value.weight[:width])
            theirs.v_proj_weight.copy_(layer.key_value.weight[width:])
            theirs.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key_value.bias]))
    return theirs


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_self_attention_equals_torch(causal, padded):
    layer = Attention(24, 4, causal=causal)
    theirs = like_torch(layer)
    ours_in = torch.randn(3, 7, 24, requires_grad=True)
    theirs_in = ours_in.detach().clone().requires_grad_()
    lengths = torch.tensor([7, 1, 4])
    mask = padding_mask(lengths, 7) if padded else None
    wanted, weights = theirs(
        theirs_in,
        theirs_in,
        theirs_in,
        key_padding_mask=~mask[:, 0] if padded else None,
        attn_mask=torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None,
        average_attn_weights=False,
    )
    got = layer(ours_in, mask=mask)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.weights(ours_in, mask=mask), weights, atol=1e-5, rtol=0)
    direction = torch.randn_like(got)
    (got * direction).sum().backward()
    (wanted * direction).sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.query_key_value.weight.grad, theirs.in_proj_weight.grad, atol=1e-4, rtol=0)


def test_cross_attention_equals_torch_and_a_projected_source_is_the_source():
    layer = Attention(24, 4, source_width=10)
    theirs = like_torch(layer, 10)
    x, source = torch.randn(3, 5, 24), torch.randn(3, 8, 10)
    mask = padding_mask(torch.tensor([8, 2, 5]), 8)
    wanted, weights = theirs(x, source, source, key_padding_mask=~mask[:, 0], average_attn_weights=False)
    torch.testing.assert_close(layer(x, source, mask=mask), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.weights(x, source, mask=mask), weights, atol=1e-5, rtol=0)
    torch.testing.assert_close(layer(x, layer.project(source), mask=mask), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize(("causal", "crossed"), [(False, False), (True, False), (False, True)])
def test_grouped_heads_equal_heads_with_repeated_keys_and_values(kv_heads, causal, crossed):
    source_width = 12 if crossed else None
    grouped = Attention(24, 4, kv_heads=kv_heads, causal=causal, source_width=source_width)
    full = Attention(24, 4, causal=causal, source_width=source_width)

    def repeated(rows):  # from kv_heads blocks of six rows to four
        return rows.unflatten(0, (kv_heads, 6)).repeat_interleave(4 // kv_heads, 0).flatten(0, 1)

    def spread(rows):  # keys, then values
        return torch.cat([repeated(part) for part in rows.chunk(2)])

    state = grouped.state_dict()
    for kind in ("weight", "bias"):
        if crossed:
            state[f"key_value.{kind}"] = spread(state[f"key_value.{kind}"])
        else:
            both = state[f"query_key_value.{kind}"]
            state[f"query_key_value.{kind}"] = torch.cat([both[:24], spread(both[24:])])
    full.load_state_dict(state)
    x, source = torch.randn(3, 7, 24), torch.randn(3, 5, 12) if crossed else None
    torch.testing.assert_close(grouped(x, source), full(x, source), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(grouped.weights(x, source), full.weights(x, source), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"kv_heads": 2}, {"causal": True}, {"kv_heads": 1, "causal": True}])
def test_padding_does_not_change_a_result(settings):
    layer = Attention(24, 4, **settings)
    lengths = [7, 1, 4]
    rows = [torch.randn(1, n, 24) for n in lengths]
    padded = torch.cat([F.pad(row, (0, 0, 0, 7 - row.shape[1]), value=1e3) for row in rows])
    rotation = RotaryPositions(7, 6)
    got = layer(padded, mask=padding_mask(torch.tensor(lengths), 7), rotation=rotation(slice(0, 7)))
    for row, n, result in zip(rows, lengths, got, strict=True):
        alone = layer(row, rotation=rotation(slice(0, n)))
        torch.testing.assert_close(result[:n], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_query_that_may_look_nowhere_gets_zeros_and_finite_gradients(kv_heads):
    layer = Attention(24, 4, kv_heads=kv_heads, bias=False)
    x = torch.randn(2, 5, 24, requires_grad=True)
    mask = torch.ones(2, 5, 5, dtype=torch.bool)
    mask[0, 2] = False  # one query
    mask[1] = False  # a whole row
    out = layer(x, mask=mask)
    assert out[0, 2].abs().max() == 0 and out[1].abs().max() == 0
    assert out[0, 0].abs().max() > 0
    out.square().sum().backward()
    assert all(g.isfinite().all() for g in (x.grad, layer.query_key_value.weight.grad, layer.output.weight.grad))
    assert x.grad[1].abs().max() == 0
    weights = layer.weights(x, mask=mask)
    assert weights[0, :, 2].abs().max() == 0 and weights[1].abs().max() == 0
    torch.testing.assert_close(weights[0, :, 0].sum(-1), torch.ones(4))
    biased = Attention(24, 4, kv_heads=kv_heads)
    torch.testing.assert_close(biased(x, mask=mask)[0, 2], biased.output.bias)


def test_a_mask_adds_to_causality():
    layer = Attention(24, 4, causal=True)
    x = torch.randn(1, 6, 24)
    weights = layer.weights(x, mask=torch.tensor([[[True, False, True, True, True, True]]]))
    allowed = torch.ones(6, 6, dtype=torch.bool).tril()
    allowed[:, 1] = False
    assert torch.equal(weights[0] > 0, allowed.expand(4, 6, 6))


def test_without_positions_order_does_not_matter():
    layer = Attention(24, 4, kv_heads=2)
    x, order = torch.randn(2, 6, 24), torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], atol=1e-6, rtol=1e-5)


def test_weights_dropped_in_training_only_and_unbiased():
    layer = Attention(32, 2, dropout=0.4, bias=False)
    with torch.no_grad():  # every value is one, so an output is the sum of the weights that were kept
        layer.query_key_value.weight[64:] = 0.0
        layer.query_key_value.weight[64:, 0] = 1.0
        layer.output.weight.copy_(torch.eye(32))
    x = torch.randn(400, 10, 32)
    x[..., 0] = 1.0
    with isolated(0):
        sums = layer(x)[:, :, [0, 16]]
    assert sums.std() > 0.05
    # Each of 8,000 sums has mean 1 and variance 0.4 / 0.6 of the sum of squared weights, at most 2/3: five sigma.
    assert abs(sums.mean().item() - 1) < 5 * (2 / 3 / 8000) ** 0.5
    layer.eval()
    torch.testing.assert_close(layer(x), torch.ones(400, 10, 32))


def test_watching_leaves_the_network_as_it_was():
    network = nn.Sequential(Attention(8, 2), nn.Linear(8, 8), Attention(8, 2, causal=True))
    x = torch.randn(2, 3, 8)
    before = network(x)
    with watch_attention(network) as maps:
        torch.testing.assert_close(network(x), before)
    assert list(maps) == ["0", "2"]
    torch.testing.assert_close(maps["0"], network[0].weights(x))
    assert maps["2"].triu(1).abs().max() == 0 and not maps["2"].requires_grad
    kept = maps["0"].clone()
    network(torch.randn(2, 3, 8))
    assert torch.equal(maps["0"], kept)  # the hooks are gone
    with pytest.raises(ZeroDivisionError), watch_attention(network) as maps:
        1 / 0  # noqa: B018
    network(x)
    assert not maps


def test_gradients():
    layer = Attention(4, 2, kv_heads=1, causal=True).double()
    rotation = RotaryPositions(3, 2).double()(slice(0, 3))
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: layer(v, rotation=rotation), (x,))


def test_padding_mask():
    assert padding_mask(torch.tensor([0, 2, 3]), 3)[:, 0].tolist() == [
        [False, False, False],
        [True, True, False],
        [True, True, True],
    ]
    for lengths in ([4, 1], [-1, 2]):
        with pytest.raises(InputError, match="lengths of 0 to 3"):
            padding_mask(torch.tensor(lengths), 3)


@pytest.mark.parametrize(
    ("sizes", "settings", "words"),
    [
        ((30, 4), {}, "multiple of heads"),
        ((32, 4), {"kv_heads": 3}, "divide heads"),
        ((32, 4), {"kv_heads": 8}, "divide heads"),
        ((32, 4), {"causal": True, "source_width": 8}, "itself"),
        ((32, 4), {"dropout": 1.0}, "dropout"),
        ((32, 0), {}, "heads"),
        ((32, 4), {"source_width": 0}, "source_width"),
    ],
)
def test_wrong_settings_are_refused(sizes, settings, words):
    with pytest.raises(SettingError, match=words):
        Attention(*sizes, **settings)


def test_a_source_is_passed_where_it_belongs():
    x = torch.zeros(1, 2, 8)
    with pytest.raises(InputError, match="expected a source, got none"):
        Attention(8, 2, source_width=8)(x)
    with pytest.raises(InputError, match="expected no source"):
        Attention(8, 2)(x, x)
