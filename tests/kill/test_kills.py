"""Commands that are killed right at a rename; `make kill` also kills at random moments, and 300 times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_commands.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the disturbed commands are forks of one process")
def test_a_repeated_command_leaves_the_files_of_an_undisturbed_one() -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        "--kills",
        "10",
        "--renames",
        "--only",
        "fit vse",
        "regions",
        "label",
        "index",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.startswith("10 kills, 0 failures")
