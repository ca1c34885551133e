"""HDF5 files from strangers: what would fill the memory, or is in other files, is refused unread."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import RegionsError
from unboxed.regions.importers.hdf5 import numbers_of, open_hdf5
from unboxed.regions.importing import open_features

h5py = pytest.importorskip("h5py")


def test_numbers_of_the_file_itself_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["a"] = np.arange(12).reshape(4, 3)
        assert numbers_of(file, "a").tolist() == np.arange(12).reshape(4, 3).tolist()
        assert numbers_of(file, "a", slice(1, 3)).tolist() == [[3, 4, 5], [6, 7, 8]]
        assert numbers_of(file, "a", 3).tolist() == [9, 10, 11]


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "features.hdf5")
    with pytest.raises(OSError, match="it is a pipe"):
        open_hdf5(tmp_path / "features.hdf5")
    with pytest.raises(RegionsError, match=r"has no features\.hdf5"):
        open_features(tmp_path, "hdf5")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("shape", r"'7' claims 8,192,000,000,000 bytes of an image, the limit is"),
        ("chunk", r"'7' claims 2,147,483,648 bytes of an image"),
        ("external", "the numbers of '7' are in other files"),
        ("virtual", "the numbers of '7' are in other files"),
        ("link", "'7' is a link"),
        ("group", "'7' is no data set"),
    ],
)
def test_bombs_and_numbers_of_other_files_are_refused(kind: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "boxes.hdf5", "w") as file:
        file["7"] = np.ones((1, 4))
    with h5py.File(tmp_path / "features.hdf5", "w") as file:
        if kind == "shape":  # nothing of it is stored
            file.create_dataset("7", (10**9, 2048), "f4", chunks=(1, 2048), compression="gzip")
        elif kind == "chunk":
            file.create_dataset("7", (1, 4), "f4", maxshape=(None, None), chunks=(2**16, 2**13), compression="gzip")
        elif kind == "external":
            file.create_dataset("7", (1, 4), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((1, 4), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "boxes.hdf5"), "7", (1, 4))
            file.create_virtual_dataset("7", layout)
        elif kind == "link":
            file["7"] = h5py.ExternalLink("boxes.hdf5", "7")
        else:
            file.create_group("7")
    with pytest.raises(RegionsError, match=rf"features\.hdf5: 7 cannot be read \({message}"):
        list(open_features(tmp_path, "hdf5").images({"7"}))
