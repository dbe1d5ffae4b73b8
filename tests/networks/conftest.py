import pytest

from gradus.core.randomness import isolated


@pytest.fixture(autouse=True)
def seeded():
    """Draws do not depend on which tests ran before."""
    with isolated(0):
        yield
