"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and small detectors beside the project; the test skips where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("UNBOXED_SHARED", default))
    if not (folder / "data" / "flickr.toml").is_file():
        pytest.skip(f"no real photographs: {folder} has no data/flickr.toml (set UNBOXED_SHARED to the folder)")
    return folder
