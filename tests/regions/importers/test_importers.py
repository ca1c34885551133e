"""What a new feature format costs: its importer, its test, and one line in `IMPORTERS`. The rest derives from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.errors import RegionsError
from unboxed.regions import importers
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id
from unboxed.regions.importing import open_features
from unboxed.regions.store import RegionStore

ROOT = Path(__file__).parents[3]


class ArrayImporter(FeatureImporter):
    """A folder with an array `[R, V]` for each image, without boxes."""

    format = "arrays"
    reads = "a folder of `IMAGE_ID.npy`"
    boxes = "no"
    has_boxes = False

    def __init__(self, path: Path) -> None:
        self._files = sorted(path.glob("*.npy"))
        if not self._files:
            raise RegionsError(f"{path} has no .npy files.")

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        for file in self._files:
            if join_id(file.stem) in wanted:
                yield PrecomputedImage(file.stem, np.load(file))


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the new format, a dataset file beside it, and the one line that makes the format known."""
    for name in ("a", "b", "other"):
        np.save(tmp_path / f"{name}.npy", np.ones((2, 3), np.float32))
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,A man.,train\nb.jpg,A dog.,val\n")
    (tmp_path / "data.toml").write_text('format = "table"\nimages = false\nannotations = "captions.csv"\n')
    monkeypatch.setattr(importers, "IMPORTERS", (*importers.IMPORTERS, ArrayImporter))
    return tmp_path


def test_a_new_format_is_an_option_of_the_command_line(arrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    assert "--format {scan,tsv,hdf5,maf,arrays}" in capsys.readouterr().out
    store = arrays / "store"
    command = ["import", str(arrays / "data.toml"), "--features", str(arrays), "--format", "arrays"]
    main([*command, "--out", str(store)])
    assert "2 images imported" in capsys.readouterr().err
    opened = RegionStore.open(store)
    assert (list(opened), opened["a.jpg"].features.tolist()) == (["a.jpg", "b.jpg"], [[1, 1, 1]] * 2)
    assert opened.settings.to_dict()["imported"] == "arrays"
    with pytest.raises(RegionsError, match="imported from arrays features"):
        opened.settings.require_extractable()


def test_the_messages_and_the_table_know_a_new_format(arrays: Path) -> None:
    with pytest.raises(RegionsError, match="unknown format 'array'; expected one of: scan, tsv, hdf5, maf, arrays"):
        open_features(arrays, "array")
    with pytest.raises(RegionsError, match=r"has no \.npy files"):
        open_features(ROOT / "docs", "arrays")
    assert importers.importer_table().splitlines()[-1] == "| `arrays` | a folder of `IMAGE_ID.npy` | no |"


def test_the_guide_has_the_table_of_formats() -> None:
    assert importers.importer_table() in (ROOT / "docs" / "regions.md").read_text("utf-8")


def test_no_other_module_lists_the_formats() -> None:
    """`scan` and `hdf5` are also names of a recipe, of a dataset format, and of an extra."""
    package = ROOT / "src" / "unboxed"
    lists = {
        file.relative_to(package).as_posix() for file in package.rglob("*.py") if '"tsv"' in file.read_text("utf-8")
    }
    assert lists == {"regions/importers/bottom_up_tsv.py"}
