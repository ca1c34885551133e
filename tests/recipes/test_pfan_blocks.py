"""PFAN on imported blocks: the model reads the blocks and shares of the file, and refuses features without either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed.attention.positions import PositionFocusedRegions
from unboxed.data import load_dataset
from unboxed.errors import RegionsError
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.pfan import PFAN
from unboxed.recipes.scan import SCAN
from unboxed.regions.importing import import_regions, open_features
from unboxed.regions.store import RegionStore
from unboxed.text.tokens import SPECIAL, Vocabulary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "dev"):
        np.save(tmp_path / f"{split}_ims.npy", rng.normal(size=(2, 3, 4)).astype(np.float32))
        share = rng.random((2, 3, 15))
        rows = np.concatenate([rng.integers(0, 257, (2, 3, 15)), share / share.sum(2, keepdims=True)], axis=2)
        np.save(tmp_path / f"{split}_boxes.npy", rows)
        (tmp_path / f"{split}_caps.txt").write_text("".join(f"A dog number {k} .\n" for k in range(10)))
    (tmp_path / "train_ids.txt").write_text("7\n9\n")
    (tmp_path / "dev_ids.txt").write_text("11\n12\n")
    (tmp_path / "data.toml").write_text('format = "scan"\nannotations = "."\n')
    return tmp_path


def _store(folder: Path) -> RegionStore:
    import_regions(load_dataset(folder / "data.toml"), open_features(folder, "scan"), folder / "store", progress=False)
    return RegionStore.open(folder / "store")


def test_positions_are_those_of_the_file(folder: Path) -> None:
    store, rows = _store(folder), np.load(folder / "train_boxes.npy")
    config = RunConfig("pfan", PFAN(region_inputs="features"), store.settings, store.feature_blocks, (), {})
    batch = Batcher(config, Vocabulary((*SPECIAL, "dog"))).images([store["7"], store["9"]])
    assert batch.inputs_BRV.shape == (2, 3, 4) and batch.blocks_BRM is not None
    encoder, inputs = PositionFocusedRegions(4, 8, 5).double(), batch.inputs_BRV.double()
    share = torch.from_numpy(rows[..., 15:])
    expected = encoder.positions_of_blocks(inputs, torch.from_numpy(rows[..., :15]).long(), share)
    torch.testing.assert_close(encoder.positions(inputs, batch.blocks_BRM.double()), expected, atol=1e-4, rtol=1e-3)
    assert torch.equal(batch.blocks_BRM[..., :15].double(), torch.from_numpy(rows[..., :15]))
    torch.testing.assert_close(batch.blocks_BRM[..., 15:].double(), share, rtol=2**-11, atol=2**-25)


def test_other_recipes_do_not_read_blocks(folder: Path) -> None:
    store = _store(folder)
    config = RunConfig("scan", SCAN(), store.settings, store.feature_blocks, (), {})
    batch = Batcher(config, Vocabulary((*SPECIAL, "dog"))).images([store["7"]])
    assert batch.blocks_BRM is None and batch.inputs_BRV.shape[2] == 4 + 9


@pytest.mark.parametrize(("column", "value", "message"), [(0, 257, "0..256"), (3, np.nan, "0..256"), (15, -1, "sum")])
def test_damaged_blocks(folder: Path, column: int, value: float, message: str) -> None:
    rows = np.load(folder / "dev_boxes.npy")
    rows[1, 0, column] = value
    np.save(folder / "dev_boxes.npy", rows)
    with pytest.raises(RegionsError, match=rf"dev_boxes\.npy, row 1: .*{message}"):
        _store(folder)


def test_fit_trains_on_blocks_and_refuses_without(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unboxed.cli import main
    from unboxed.inference.grounder import Grounder

    _store(folder)
    command = ["fit", "pfan", "--preset", "paper", "--data", str(folder / "data.toml"), "--epochs", "1"]
    command += ["--joint-width", "8", "--hidden-width", "8"]
    main([*command, "--regions", str(folder / "store"), "--out", str(folder / "run")])
    assert Grounder.load(folder / "run").config.block_columns.sum() == 30
    for split in ("train", "dev"):
        (folder / f"{split}_boxes.npy").unlink()
    import_regions(load_dataset(folder / "data.toml"), open_features(folder, "scan"), folder / "none", progress=False)
    with pytest.raises(SystemExit) as refused:
        main([*command, "--regions", str(folder / "none"), "--out", str(folder / "refused")])
    assert refused.value.code
    assert "_boxes.npy" in capsys.readouterr().err
