"""Which device computes: asked for by name or the best one present."""

from __future__ import annotations

import os

import torch

from gradus.core.errors import DeviceError, SettingError

__all__ = ["available_devices", "choose_device", "holds", "processes_launched"]

# Share of a device's free memory that data may take; the rest is for copies, weights and activations.
DATA_SHARE = 0.4


def available_devices() -> list[str]:
    """Names of the devices torch can compute on here, the fastest first.

    Examples
    --------
    >>> "cpu" in available_devices()
    True
    """
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return the torch device for ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Where several processes train together, each one's ``"auto"`` and ``"cuda"`` is the GPU of its number on its
    machine; processes that outnumber the GPUs share them.

    Raises
    ------
    SettingError
        If the name is no device's.
    DeviceError
        If the device exists elsewhere but not on this machine.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    present = available_devices()
    if str(device) in ("auto", "cuda") and present[0].startswith("cuda"):
        return torch.device(f"cuda:{_local_rank() % torch.cuda.device_count()}")
    if str(device) == "auto":
        return torch.device(present[0])
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in {"cpu", "cuda", "mps"}:
        raise SettingError("device to be auto, cpu, cuda, cuda:N or mps", repr(device), "set device='auto'")
    name = f"cuda:{chosen.index or 0}" if chosen.type == "cuda" else chosen.type
    if name not in present:
        raise DeviceError(f"one of the devices present ({', '.join(present)})", name, "set device='auto'")
    return torch.device(name)


def processes_launched() -> int:
    """Return the number of processes that a launcher such as torchrun started together, 1 without one.

    Raises
    ------
    SettingError
        If the environment names a number that is none.

    Examples
    --------
    >>> processes_launched()
    1
    """
    if "RANK" not in os.environ:  # some set the other alone
        return 1
    return _number("WORLD_SIZE", 1)


def _local_rank() -> int:
    return _number("LOCAL_RANK", 0) if processes_launched() > 1 else 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise SettingError(f"a whole number in the environment's {name}", repr(text), "start it with torchrun")
    return int(text)


def holds(device: torch.device, n_bytes: int) -> bool:
    """Whether training data of this size may lie on the device as a whole.

    Only cuda tells how much memory is free; elsewhere device and processor share one memory, where the data lie
    already.

    Examples
    --------
    >>> holds(torch.device("cpu"), 1 << 40)
    True
    """
    return device.type != "cuda" or n_bytes <= DATA_SHARE * torch.cuda.mem_get_info(device)[0]
