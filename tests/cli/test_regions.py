"""`unboxed regions` and `import`: stores that are made once, in 16 or 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.cli import main
from unboxed.regions.store import RegionStore


def test_regions_are_extracted_once(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["regions", str(tiny_dataset), "--out", str(tmp_path / "store"), "--grid", "2", "--workers", "1"]
    main(command)
    assert "40 images in " in capsys.readouterr().err
    main(command)
    assert "40 already in the store, 0 skipped" in capsys.readouterr().err
    assert len(RegionStore.open(tmp_path / "store")) == 40
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--int8"])
    assert "stores numbers in 16 bits" in capsys.readouterr().err
    main([*command[:3], str(tmp_path / "int8"), "--grid", "2", "--int8"])
    assert RegionStore.open(tmp_path / "int8").int8


def test_precomputed_features_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SCAN's format: features of the images in one array, captions in a text file, five for each image."""
    features = tmp_path / "scan"
    features.mkdir()
    for split, count in (("train", 3), ("dev", 2), ("test", 2)):
        np.save(features / f"{split}_ims.npy", np.random.default_rng(0).random((count, 4, 8), np.float32))
        captions = [f"a box {n}" for n in range(5 * count)]
        (features / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    data = tmp_path / "data.toml"
    data.write_text('format = "scan"\nannotations = "scan"\n', encoding="utf-8")
    command = ["import", str(data), "--features", str(features), "--format", "scan", "--out", str(tmp_path / "store")]
    main(command)
    assert "7 images imported" in capsys.readouterr().err
    assert len(RegionStore.open(tmp_path / "store")) == 7
    main([*command[:-1], str(tmp_path / "int8"), "--int8"])
    assert RegionStore.open(tmp_path / "int8").int8 and not RegionStore.open(tmp_path / "store").int8
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--int8"])
    assert "stores numbers in 16 bits" in capsys.readouterr().err
