"""An index of the tiny images, and a folder of them that may be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unboxed.search import Index


@pytest.fixture
def tiny_index(tiny_index_folder: Path) -> Index:
    """That index, open."""
    return Index.open(tiny_index_folder)


@pytest.fixture(scope="session")
def different(tiny_dataset: Path) -> list[Path]:
    """Images of the tiny dataset of which no two are the same picture."""
    files = sorted((tiny_dataset.parent / "photos").iterdir(), reverse=True)
    return list({file.read_bytes(): file for file in files}.values())


@pytest.fixture
def own_images(different: list[Path], tmp_path: Path) -> Path:
    """A folder of twelve different images without captions."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, file in enumerate(different[:12]):
        shutil.copyfile(file, folder / f"{number}.png")
    return folder
