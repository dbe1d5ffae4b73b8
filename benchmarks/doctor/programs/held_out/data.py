"""The loaders one folder up, under the name that the programs import, and those that earlier programs came with."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PROGRAMS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROGRAMS))
from loaders import *  # noqa: E402, F403


def earlier(name: str) -> ModuleType:
    """Load a module that lies beside the seen programs."""
    if str(PROGRAMS / "seen") not in sys.path:
        sys.path.append(str(PROGRAMS / "seen"))
    spec = importlib.util.spec_from_file_location(name, PROGRAMS / "seen" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"expected {name}.py beside the seen programs, got none")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
