"""Build the site strictly: Zensical's own warnings and those of the docstring reader are errors.

Run by ``make docs``. Zensical's strict mode counts links, anchors and footnotes; what mkdocstrings and griffe
say about a docstring (a parameter that the signature lacks, an object that cannot be found) only stands in
the log.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPLAINT = re.compile(r"griffe|mkdocstrings|autorefs|warning|error", re.IGNORECASE)


def main() -> int:
    """Build into ``site/`` and return the exit code."""
    for left in ("site", ".cache"):  # a page cached from the last build would not complain again
        shutil.rmtree(ROOT / left, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    log = done.stdout + done.stderr
    sys.stdout.write(log)
    complaints = [line for line in log.splitlines() if COMPLAINT.search(line)]
    if done.returncode or complaints:
        sys.stdout.write(f"error: the documentation has {len(complaints) or 'some'} complaints, shown above\n")
        return 1
    sys.stdout.write(f"{sum(1 for _ in (ROOT / 'site').rglob('index.html'))} pages in site/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
