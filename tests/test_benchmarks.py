"""The sides of the training benchmark do equal work; how fast they are is no test's business."""

import importlib
import json
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SIDES = ("plain", "tensors", "gradus", "sklearn", "skorch", "lightning", "lightning_bare", "keras", "keras_quiet")
# Weights and biases, by hand: 3 x 3 kernels over 1 and 32 channels, 7 x 7 cells of 64 channels into 128 units.
DIGITS = 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
PICTURES = 9 * 32 + 32 + 32 * 9 * 64 + 64 + 7 * 7 * 64 * 128 + 128 + 128 * 10 + 10


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    names = ("trainer_workloads", "trainer_sides", "trainer", "draw")
    return [importlib.import_module(name) for name in names]


def pictures(workloads):
    """Bars of ten widths on 28 x 28 pixels with noise: as large as MNIST's, and there without a download."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 10
    x = rng.normal(0, 0.1, size=(400, 1, 28, 28)) + (np.arange(28) < 2 * y[:, None] + 2)[:, None, None]
    x = (x - x.mean()) / x.std()
    return workloads.Workload(
        title="bars",
        data="generated",
        x_train=x[:300].astype(np.float32),
        y_train=y[:300],
        x_test=x[300:].astype(np.float32),
        y_test=y[300:],
        hidden=(128,),
        channels=(32, 64),
        batch_size=64,
        epochs=1,
        tolerance=0.1,
        target=1.0,
    )


def test_every_side_is_listed(modules):
    assert set(modules[1].SIDES) == set(SIDES)


@pytest.mark.filterwarnings("ignore")  # those of other libraries
@pytest.mark.parametrize("name", SIDES)
def test_sides_do_equal_work_on_digits(modules, name):
    workloads, sides, *_ = modules
    side = sides.SIDES[name]
    if not side.present:
        pytest.skip(f"{side.module} is not installed")
    work = replace(workloads.digits(), epochs=3)
    fitted = side.fit(work, 0)
    assert fitted.parameters() == DIGITS
    assert fitted.updates() == work.updates == 3 * ceil(1437 / 64)
    assert (fitted.predict() == work.y_test).mean() > 0.8  # a tenth would be right by chance


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SIDES)
def test_sides_do_equal_work_on_images(modules, name):
    workloads, sides, *_ = modules
    side = sides.SIDES[name]
    if not side.images or not side.present:
        pytest.skip("not for images" if side.present else f"{side.module} is not installed")
    work = pictures(workloads)
    fitted = side.fit(work, 0)
    assert fitted.parameters() == PICTURES
    assert fitted.updates() == work.updates == 5
    assert fitted.predict().shape == work.y_test.shape


def test_the_plain_loop_and_the_frameworks_see_the_same_data(modules):
    workloads, *_ = modules
    work = pictures(workloads)
    train, test = work.channels_last
    assert train.shape == (300, 28, 28, 1) and test.shape == (100, 28, 28, 1)
    np.testing.assert_array_equal(train[..., 0], work.tensors[0].numpy()[:, 0])
    digits = workloads.digits()
    assert len(digits.x_train) == 1437 and len(digits.x_test) == 360
    moving = digits.x_train.std(0) > 0
    np.testing.assert_allclose(digits.x_train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(digits.x_train.std(0)[moving], 1, atol=1e-5)


def measured(trainer):
    """Rows as the benchmark makes them, with times made up."""
    row = trainer.Row
    good = {"parameters": 5, "updates": [7, 7, 7], "processor_seconds": [1.0] * 3}
    return [
        row("plain", "default", accuracy=[0.9, 0.92, 0.94], seconds=[2.0, 4.0, 8.0], **good),
        row("gradus", "default", accuracy=[0.91, 0.91, 0.89], seconds=[1.0, 1.0, 2.0], **good),
        row("skorch", "default", accuracy=[0.95, 0.89, 0.88], seconds=[2.0, 2.0, 3.0], **good),
        row("keras", "default", accuracy=[0.92] * 3, seconds=[1.0] * 3, **(good | {"updates": [7, 6, 7]})),
    ]


def test_unequal_rows_are_marked_and_ratios_are_taken_round_by_round(modules):
    workloads, _, trainer, _ = modules
    work = replace(pictures(workloads), tolerance=0.02)
    rows = measured(trainer)
    trainer.check(rows, replace(work, batch_size=50, x_train=work.x_train[:350], y_train=work.y_train))
    assert [row.comparable for row in rows] == [False, False, False, False]  # 6 updates of 300 rows, not 7
    work = replace(work, x_train=np.zeros((301, 1, 28, 28), np.float32), batch_size=50)
    trainer.check(rows, work)
    assert [row.comparable for row in rows] == [True, True, False, False]
    assert "accuracy 0.8900, below 0.9000" in rows[2].reason and "[6, 7] updates, not 7" in rows[3].reason
    stored = trainer.found(rows, "default")
    assert stored[1]["ratio"] == {"min": 0.25, "median": 0.25, "max": 0.5}


def test_the_page_names_the_targets_that_were_missed(modules, tmp_path):
    *_, trainer, draw = modules
    record = {
        "title": "bars",
        "data": "generated",
        "target": 0.2,
        "sklearn_target": None,
        "tolerance": 0.02,
        "when": "now",
        "command": "python x",
        "repeats": 3,
        "clock": "from data to network",
        "absent": ["keras"],
        "versions": {"python": "3"},
        "machine": {
            "processor": "p",
            "cores": 2,
            "system": "s",
            "load_before": [0.0],
            "load_after": [1.0],
            "cores_busy_elsewhere": 0.5,
        },
        "sides": {
            name: {"label": name.title(), "settings": "none", "framework": name == "skorch"}
            for name in ("plain", "gradus", "skorch", "keras")
        },
        "rows": trainer.found(measured(trainer), "default"),
    }
    (tmp_path / "trainer.json").write_text(json.dumps({"workloads": {"a": record}}))
    page = draw.page(tmp_path)
    assert "| at most 0.20 of the plain loop's time | 0.25 (0.25-0.50) | no |" in page
    assert "| 1.4 times as fast as Skorch | 2.00 (1.50-2.00) | yes |" in page
    assert "Not reached: at most 0.20 of the plain loop's time (measured 0.25 (0.25-0.50))." in page
    assert "Others used 0.5 cores" in page and "not measured: keras" in page


@pytest.mark.parametrize("script, page", [("draw_quality", "quality.md"), ("draw_research", "quality_research.md")])
def test_the_pages_of_quality_are_drawn_from_what_is_stored(monkeypatch, script, page):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    drawn = importlib.import_module(script)

    assert (ROOT / "docs" / page).read_text("utf-8") == drawn.page(drawn.RESULTS)
