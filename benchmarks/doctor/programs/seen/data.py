"""The loaders one folder up, under the name that the programs import."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from loaders import *  # noqa: E402, F403
