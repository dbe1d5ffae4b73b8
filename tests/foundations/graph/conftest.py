"""A browser to open pages in."""

import shutil
import subprocess

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Return a function that opens a page and gives back its DOM and what it said on the console."""
    program = next((p for p in map(shutil.which, BROWSERS) if p), None)
    if program is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")

    def look(page, *more, anchor=""):
        quiet = ["no-first-run", "disable-sync", "disable-background-networking", "disable-component-update"]
        quiet += ["headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "enable-logging=stderr"]
        profile = tmp_path_factory.mktemp("profile")
        done = subprocess.run(
            [
                program,
                *(f"--{word}" for word in quiet),
                f"--user-data-dir={profile}",
                "--virtual-time-budget=5000",
                "--window-size=1300,900",
                *more,
                "--dump-dom",
                page.as_uri() + (f"#{anchor}" if anchor else ""),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    return look
