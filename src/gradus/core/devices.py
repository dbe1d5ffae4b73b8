"""Which device computes: asked for by name or the best one present."""

from __future__ import annotations

import torch

from gradus.core.errors import DeviceError, SettingError

__all__ = ["available_devices", "choose_device"]


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
