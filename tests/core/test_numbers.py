"""What single precision can hold, and how many cores there are."""

import os
import subprocess
import sys

import numpy as np
import pytest

from gradus.core.errors import InputError, SettingError
from gradus.core.numbers import LARGEST, check_size
from gradus.core.options import check_settings, option, parse_setting
from gradus.core.threads import cores


@pytest.mark.parametrize(
    "values", [[LARGEST, -LARGEST, 0.0], [np.nan, 1.0], [], np.zeros((0, 3)), np.arange(5), [[1e35]]]
)
def test_what_single_precision_holds_passes(values):
    check_size("y", np.asarray(values))
    assert np.isfinite(np.float32(LARGEST) * 100)


@pytest.mark.parametrize(("value", "shown"), [(1e300, r"1e\+300"), (-2e36, r"-2e\+36"), (np.inf, "inf")])
def test_the_first_value_beyond_is_named(value, shown):
    values = np.array([[1.0, np.nan], [value, 3e38]])
    with pytest.raises(InputError, match=rf"numbers up to 1e36 in size in column 'a', got {shown}; rescale it"):
        check_size("column 'a'", values)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux tells which cores are a process's own")
def test_cores_are_those_the_process_may_run_on():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from gradus.core.threads import cores; assert cores() == 1"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert 1 <= cores() <= os.cpu_count()


def test_whole_numbers_of_any_size_are_compared_with_a_range():
    from dataclasses import dataclass

    @dataclass
    class Shape:
        hidden: tuple[int, ...] = option((8,), "units", low=1)
        seed: int = option(0, "seed", low=0, high=10)

    assert parse_setting(Shape, "hidden", f"1{'0' * 400}") == (10**400,)
    check_settings(Shape(hidden=(10**400,)))
    with pytest.raises(SettingError, match="hidden to be"):
        check_settings(Shape(hidden=(-(10**400),)))
    with pytest.raises(SettingError, match="seed to be"):
        check_settings(Shape(seed=10**400))
