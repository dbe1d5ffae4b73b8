import os

import pytest


@pytest.fixture
def no_sync(monkeypatch):
    """Do not wait for the disk: what a power cut would lose is not what these tests are about."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
