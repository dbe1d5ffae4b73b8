"""Speed of language models: training beside plain torch, sampling beside a loop without a cache, one large step.

Every row has its sides in one process, taking turns; a ratio is the median over rounds of Gradus over the other side
in tokens a second (above 1: Gradus is faster), with the smallest and the largest. The networks of both sides have the
same number of parameters, and after the last round both are judged on the same windows of held-out text.
"""

from __future__ import annotations

import gc
import gzip
import os
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from networks_language_plain import PlainGPT, PlainLSTM, Shape, plain_sample, plain_trainer
from racing import Asked, raced, stepping, wait
from torch import Tensor, nn

from gradus.applications.language.model import LanguageModel, next_token_loss
from gradus.data.windows import WindowBatches, windows
from gradus.networks.recurrent.language import RecurrentLanguageModel
from gradus.networks.transformer import Transformer, parameter_count
from gradus.training.loop import Trainer
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

__all__ = ["ROWS", "Asked"]

SMALL = Shape(vocabulary=67, context=64, width=128, layers=4, heads=4, batch_size=12)
MIDDLE = Shape(vocabulary=67, context=256, width=384, layers=6, heads=6, batch_size=64, dropout=0.2)
GPT2 = Shape(vocabulary=50304, context=1024, width=768, layers=12, heads=12, batch_size=64, learning_rate=6e-4)
BATCHES = (64, 32, 16)
BETAS = (0.9, 0.99)  # of both sides, as nanoGPT's for characters
# Dense bf16 operations a second by the maker's data sheets.
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
PROMPT = "ROMEO:"
# How much worse than the other side a side may have learned.
TOLERANCE = 0.05


def tokens_of_shakespeare() -> tuple[Tensor, Tensor]:
    """Return training and held-out characters as small integers."""
    path = Path(os.environ["GRADUS_DATA"]) / "text" / "tinyshakespeare.txt.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([ids[c] for c in text], dtype=torch.int16)
    cut = int(0.9 * len(data))
    return data[:cut], data[cut:]


def gradus_trainer(
    network: nn.Module, data: Tensor, shape: Shape, device: str, *, compiled: bool, bf16: bool
) -> Callable[[int], None]:
    """Return a function that lets the loop of every Gradus estimator take the given number of steps."""
    network = network.to(device)
    settings: dict[str, Any] = {
        "optimizer": "adamw",
        "learning_rate": shape.learning_rate,
        "weight_decay": 0.1,
        "gradient_clip": 1.0,
        "precision": "bf16" if bf16 else "float32",
        "max_epochs": 1_000_000,
        "batch_size": shape.batch_size,
    }
    trained = network
    if compiled and "compile" in {field.name for field in fields(TrainingOptions)}:
        settings["compile"] = "on"
    elif compiled:
        trained = torch.compile(network)  # type: ignore[assignment]
    options = TrainingOptions(**settings)
    batches = WindowBatches(data.to(device), length=shape.context, batch_size=shape.batch_size, seed=0)
    player = Player("network", trained, next_token_loss, options, seed=0)
    for optimizer in player.optimizers:
        for group in optimizer.param_groups:
            group["betas"] = BETAS
    trainer = Trainer(network, [player], batches, options, n_threads=torch.get_num_threads())

    return stepping(trainer)


@torch.inference_mode()
def held_out(score: Callable[[Tensor, Tensor], Tensor], data: Tensor, shape: Shape, device: str) -> float:
    """Return the mean loss over the same random windows for every side."""
    source = torch.Generator().manual_seed(0)
    starts = torch.randint(len(data) - shape.context, (256,), generator=source)
    batch = windows(data, starts, shape.context)
    inputs, targets = batch["inputs"].to(device), batch["targets"].to(device)
    return float(sum(score(*pair) for pair in zip(inputs.split(32), targets.split(32), strict=True)) / 8)


def ours(shape: Shape, seed: int = 0) -> Transformer:
    """Return Gradus's network in the other side's shape."""
    torch.manual_seed(seed)
    return Transformer(
        shape.vocabulary,
        shape.context,
        shape.width,
        shape.layers,
        shape.heads,
        positions="learned",
        bias=False,
        dropout=shape.dropout,
    )


def theirs(shape: Shape, seed: int = 0) -> PlainGPT:
    """Return the plain network."""
    torch.manual_seed(seed)
    return PlainGPT(shape)


OURS = {
    "tokens.weight": "embedding.weight",
    "places.weight": "stack.added.table",
    "layers.": "stack.blocks.",
    "norm1": "attention_norm",
    "norm2": "feedforward_norm",
    "attend": "attention.query_key_value",
    "merge": "attention.output",
    "widen": "feedforward.up",
    "narrow": "feedforward.down",
}


def _as_ours(name: str) -> str:
    """Return our name of a parameter of the plain network."""
    if name == "norm.weight":
        return "stack.norm.weight"
    for theirs_, ours_ in OURS.items():
        name = name.replace(theirs_, ours_)
    return name


def training(asked: Asked, shape: Shape, *, compiled: bool, bf16: bool, steps: int, warm: int) -> dict[str, Any]:
    """Train both networks in turns; both have to have learned the same."""
    data, valid = tokens_of_shakespeare()
    mine, plain = ours(shape), theirs(shape)
    # Both begin with our weights: without warm-up, another draw alone can cost a third of a nat after 60 steps.
    plain.load_state_dict({name: mine.state_dict()[_as_ours(name)] for name in plain.state_dict()})
    sizes = {"gradus": parameter_count(mine), "plain": parameter_count(plain)}
    settings = {"compiled": compiled, "bf16": bf16}
    sides = {
        "gradus": gradus_trainer(mine, data, shape, asked.device, **settings),
        "plain": plain_trainer(plain, data, shape, asked.device, **settings),
    }
    row = raced(sides, asked, steps=steps, warm=warm, units=shape.batch_size * shape.context)
    losses = {
        "gradus": held_out(lambda x, y: _mean_loss(mine, x, y), valid, shape, asked.device),
        "plain": held_out(lambda x, y: plain.eval()(x, y), valid, shape, asked.device),
    }
    equal = losses["gradus"] < losses["plain"] + TOLERANCE
    return {
        "shape": asdict(shape),
        **settings,
        "parameters": sizes,
        "held_out_nats": losses,
        "equal_loss": equal,
        **row,
    }


def _mean_loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    loss = next_token_loss(network.eval(), {"inputs": inputs, "targets": targets}, torch.Generator())
    return loss.total / loss.count


def training_eager(asked: Asked) -> dict[str, Any]:
    """Train the character GPT, operation by operation."""
    if asked.cuda:
        return training(asked, MIDDLE, compiled=False, bf16=True, steps=60, warm=10)
    return training(asked, SMALL, compiled=False, bf16=False, steps=100, warm=10)


def training_compiled(asked: Asked) -> dict[str, Any]:
    """Train the character GPT, compiled on both sides."""
    if asked.cuda:
        return training(asked, MIDDLE, compiled=True, bf16=True, steps=100, warm=20)
    return training(asked, SMALL, compiled=True, bf16=False, steps=100, warm=10)


def training_small(asked: Asked) -> dict[str, Any]:
    """Train the small GPT on a GPU, where what surrounds the operations is all the time there is."""
    return training(asked, SMALL, compiled=False, bf16=asked.cuda, steps=200, warm=20)


def training_lstm(asked: Asked) -> dict[str, Any]:
    """Train an LSTM over the same windows beside torch's own in a plain loop."""
    data, valid = tokens_of_shakespeare()
    shape = replace(SMALL, width=256, layers=1)
    torch.manual_seed(0)
    mine: nn.Module = RecurrentLanguageModel(shape.vocabulary, shape.width, layers=1, cell="lstm")
    plain = PlainLSTM(shape.vocabulary, shape.width, 1)
    named = {"embedding": "tokens", "recurrent.core": "core", "output": "output"}
    begun = {
        ".".join([named[(at := name.rpartition("."))[0]], at[2]]): value for name, value in mine.state_dict().items()
    }
    plain.load_state_dict(begun)  # both begin with our weights: the rows are about speed
    sizes = {"gradus": parameter_count(mine), "plain": parameter_count(plain)}
    sides = {
        "gradus": gradus_trainer(mine, data, shape, asked.device, compiled=False, bf16=False),
        "plain": plain_trainer(plain, data, shape, asked.device, compiled=False, bf16=False),
    }
    row = raced(sides, asked, steps=60, warm=5, units=shape.batch_size * shape.context)
    losses = {
        "gradus": held_out(lambda x, y: _mean_loss(mine, x, y), valid, shape, asked.device),
        "plain": held_out(lambda x, y: plain.eval()(x, y), valid, shape, asked.device),
    }
    equal = losses["gradus"] < losses["plain"] + TOLERANCE
    return {"shape": asdict(shape), "parameters": sizes, "held_out_nats": losses, "equal_loss": equal, **row}


def sampling(asked: Asked) -> dict[str, Any]:
    """Say 256 tokens by `LanguageModel.sample`, and by a loop that reads everything again for each token.

    The loop is timed on our own network and on the plain one, both of the small shape with a context of 256; each
    draws from the whole distribution.
    """
    length = 16 if asked.quick else 256
    shape = replace(MIDDLE if asked.cuda else SMALL, context=256 + len(PROMPT))
    path = Path(os.environ["GRADUS_DATA"]) / "text" / "tinyshakespeare.txt.gz"
    text = gzip.decompress(path.read_bytes()).decode()[:200_000]
    sizes = {"context": shape.context, "width": shape.width, "layers": shape.layers, "heads": shape.heads}
    # Trained a little, as a network with fresh weights may say at once that the text ends.
    settings = {"max_steps": 60, "batch_size": 8, "learning_rate": 3e-3, "positions": "learned", "random_state": 0}
    model = LanguageModel(**sizes, **settings, n_threads=torch.get_num_threads(), device=asked.device).fit(text)
    network, plain = model.network_.eval(), theirs(shape).to(asked.device).eval()
    begun = torch.from_numpy(model.tokenizer_.encode(PROMPT)).to(asked.device)
    rows: dict[str, Any] = {}
    for batch in (1, 64):
        read = begun.repeat(batch, 1)

        def cached(n: int, batch: int = batch) -> None:
            for seed in range(n):
                texts = model.sample(batch, prompt=PROMPT, length=length, random_state=seed)
                if max(map(len, texts)) < length:
                    raise RuntimeError(f"a text ended early, after {max(map(len, texts))} of {length} tokens")

        def uncached(n: int, read: Tensor = read) -> None:
            for _ in range(n):
                _uncached(network, read, length)

        def plainly(n: int, read: Tensor = read) -> None:
            for _ in range(n):
                plain_sample(plain, read, length)

        sides: dict[str, Callable[[int], None]] = {"gradus": cached, "uncached": uncached, "plain": plainly}
        if batch == 1:
            rows["batch_1"] = raced(sides, asked, steps=2, warm=1, units=length)
        else:  # reading everything again takes minutes here: two sides, on a processor once, warm from before
            few = {name: sides[name] for name in ("gradus", "uncached")}
            short = asked if asked.cuda else replace(asked, rounds=1)
            rows[f"batch_{batch}"] = raced(few, short, steps=1, warm=0, units=batch * length)
    return {"shape": asdict(shape), "tokens": length, "equal_loss": _agrees(model, length), **rows}


def _agrees(model: LanguageModel, length: int) -> bool:
    """Whether the likeliest continuation is the same with the cache as without, which the speed takes for granted."""
    said = model.sample(prompt=PROMPT, length=length, temperature=0.0)[0]
    network: Any = model.network_
    device = next(network.parameters()).device
    tokens = model.tokenizer_.encode(said)
    with torch.inference_mode():
        start = torch.full((1, 1), network.vocabulary - 1, device=device)
        read = torch.cat([start, torch.from_numpy(tokens).to(device)[None]], 1)
        likeliest = network(read[:, :-1]).argmax(2)
    return bool((likeliest == read[:, 1:])[:, -length:].float().mean() > 0.99)


@torch.inference_mode()
def _uncached(network: Any, read: Tensor, length: int) -> Tensor:
    """Continue by reading all that came before anew for each token; only the last position is scored."""
    for _ in range(length):
        features = network.features(read[:, -network.context :])[:, -1]
        drawn = network.embedding.scores(features).softmax(-1).multinomial(1)
        read = torch.cat([read, drawn], 1)
    return read


def operations(shape: Shape, parameters: int) -> dict[str, float]:
    """Return floating-point operations a token, forward and backward.

    ``6 N + 12 L T D`` as nanoGPT and PaLM (Chowdhery et al. 2022, appendix B) count: ``N`` the parameters but for the
    positions' (the shared embedding once, as the output), ``L`` layers, ``T`` context, ``D`` width; attention is
    counted as if nothing were masked. ``causal`` counts the half of it that is needed.
    """
    dense = 6.0 * (parameters - shape.context * shape.width)
    attention = 12.0 * shape.layers * shape.context * shape.width
    return {"usual": dense + attention, "causal": dense + attention / 2}


def gpt2_step(asked: Asked) -> dict[str, Any]:
    """Take steps in the shape of the smallest GPT-2: tokens a second, and the share of what the GPU could do."""
    source = torch.Generator().manual_seed(0)
    shape = GPT2 if asked.cuda else Shape(512, 64, 64, 2, 2, 4)
    data = torch.randint(shape.vocabulary, (4_000_000 if asked.cuda else 20_000,), generator=source, dtype=torch.int32)
    found: list[dict[str, Any]] = []
    for batch in BATCHES if asked.cuda else (4,):
        try:
            found.append(_large_step(asked, replace(shape, batch_size=batch), data))
        except RuntimeError as error:  # out of memory, or what a recording makes of it
            found.append({"batch_size": batch, "error": f"{type(error).__name__}: {error}"[:200]})
        torch._dynamo.reset()
        gc.collect()
        if asked.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    speeds = [row["per_second"]["gradus"] if "per_second" in row else 0.0 for row in found]
    best = found.pop(speeds.index(max(speeds)))
    return best | {"other_batches": found}


def _large_step(asked: Asked, shape: Shape, data: Tensor) -> dict[str, Any]:
    network = ours(shape)
    run = gradus_trainer(network, data, shape, asked.device, compiled=asked.cuda, bf16=True)
    start = time.perf_counter()
    run(5 if asked.cuda else 1)
    wait(asked)
    warmed = time.perf_counter() - start
    row = raced({"gradus": run}, replace(asked, rounds=3), steps=15, warm=3, units=shape.batch_size * shape.context)
    speed = row["per_second"]["gradus"]
    flops = operations(shape, parameter_count(network))
    found: dict[str, Any] = {"shape": asdict(shape), "parameters": parameter_count(network)}
    found |= {"seconds_to_compile": round(warmed, 1), "operations_a_token": flops, **row}
    if asked.cuda:
        name = torch.cuda.get_device_name(asked.device)
        peak = next((value for key, value in PEAK.items() if key in name), None)
        found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        if peak is not None:
            found["peak_operations_a_second"] = peak
            found["utilisation"] = {key: round(speed * each / peak, 4) for key, each in flops.items()}
    return found


ROWS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "training": training_eager,
    "training_compiled": training_compiled,
    "training_small": training_small,
    "training_lstm": training_lstm,
    "sampling": sampling,
    "gpt2_step": gpt2_step,
}
