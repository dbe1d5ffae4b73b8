"""What every test stands on: the data folder, one thread, and shapes checked at run time."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# STYLE: jaxtyping shapes are checked under pytest. The hook must precede the first import of the package.
# Only where shapes are stated: elsewhere beartype stumbles over `Self` and over an integer for a float.
install_import_hook(["gradus.networks", "gradus.training.losses"], "beartype.beartype")


@pytest.fixture(scope="session")
def data_home() -> Path:
    """The folder GRADUS_DATA names; absent, the test skips, but on CI it fails."""
    named = os.environ.get("GRADUS_DATA")
    home = Path(named) if named else None
    if home is None or not home.is_dir():
        reason = "needs the real data sets: set GRADUS_DATA to the folder that holds them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return home
