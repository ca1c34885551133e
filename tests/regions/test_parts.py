"""Parts of an extraction: their merged store has the bytes of one process's, and parts that do not fit are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.data.dataset import load_dataset
from unboxed.errors import StoreError
from unboxed.regions import extraction
from unboxed.regions import store as store_module
from unboxed.regions.extraction import extract
from unboxed.regions.parts import Part, merge_parts
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.parts import PartRecord, require_all_parts
from unboxed.types import Example

from .conftest import SETTINGS


@pytest.fixture(scope="module")
def examples(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Fourteen images, the last two a copy of the first and a file that is no image."""
    found = list(load_dataset(tiny_dataset).split("train").examples[:12])
    broken = tmp_path_factory.mktemp("broken") / "broken.png"
    broken.write_bytes(b"no image")
    return [*found, replace(found[0], image_id="copy.png"), replace(found[0], image_id="broken.png", path=broken)]


@pytest.fixture(scope="module", autouse=True)
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Shards of five images, so that a store of a few has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_IMAGES_PER_SHARD", 5)
        yield


def _extract_parts(
    examples: Sequence[Example], count: int, folder: Path, settings: RegionSettings = SETTINGS
) -> list[Path]:
    paths = [folder / f"part{number}" for number in range(1, count + 1)]
    for number, path in enumerate(paths, start=1):
        extract(examples, settings, path, part=Part(number, count), progress=False)
    return paths


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_merged_parts_are_the_store_of_one_process_bit_for_bit(
    count: int, examples: list[Example], whole: Path, tmp_path: Path
) -> None:
    paths = _extract_parts(examples, count, tmp_path)
    assert sum(len(RegionStore.open(path)) for path in paths) == len(examples) - 1
    merge_parts(paths[::-1], tmp_path / "merged", progress=False)  # in any order
    assert _files(tmp_path / "merged") == _files(whole)


def test_parts_with_no_image_and_more_parts_than_images_merge_too(
    examples: list[Example], whole: Path, tmp_path: Path
) -> None:
    paths = _extract_parts(examples, 40, tmp_path)
    merge_parts(paths, tmp_path / "merged", progress=False)
    assert _files(tmp_path / "merged") == _files(whole)


def test_every_image_is_in_exactly_one_part() -> None:
    names = [f"{number}.jpg" for number in range(2000)]
    sizes = [sum(name in Part(number, 4) for name in names) for number in range(1, 5)]
    assert sum(sizes) == 2000 and min(sizes) > 430


def test_a_finished_part_is_not_computed_again_and_an_interrupted_one_goes_on(
    examples: list[Example], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = examples[:-1]  # without the file that is tried again each time
    first = extract(examples, SETTINGS, tmp_path / "1", part=Part(1, 2), progress=False)
    part = Part(2, 2)
    own = [example for example in examples if example.image_id in part]
    opened = extraction.opened_in_turn
    seen: list[str] = []

    def fails_at_the_fourth(content: bytes, name: str) -> object:
        seen.append(name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return opened(content, name)

    monkeypatch.setattr(extraction, "opened_in_turn", fails_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        extract(examples, SETTINGS, tmp_path / "2", part=part, workers=1, progress=False)
    with pytest.raises(StoreError, match="part 2/2 is not finished"):
        merge_parts([tmp_path / "1", tmp_path / "2"], tmp_path / "merged")
    monkeypatch.setattr(extraction, "opened_in_turn", opened)
    again = extract(examples, SETTINGS, tmp_path / "2", part=part, progress=False)
    assert again.reused > 0 and again.done + again.reused + len(again.skipped) == len(own)
    monkeypatch.setattr(extraction, "RegionExtractor", None)  # a finished part opens no network
    repeated = extract(examples, SETTINGS, tmp_path / "1", part=Part(1, 2), progress=False)
    assert (repeated.done, repeated.reused) == (0, first.done)
    merge_parts([tmp_path / "1", tmp_path / "2"], tmp_path / "merged", progress=False)
    assert list(RegionStore.open(tmp_path / "merged")) == list(RegionStore.open(whole))


def _dataset_changed(paths: list[Path], examples: list[Example]) -> None:
    shutil.rmtree(paths[1])
    extract(examples[:-3], SETTINGS, paths[1], part=Part(2, 2), progress=False)


def _settings_changed(paths: list[Path], examples: list[Example]) -> None:
    shutil.rmtree(paths[1])
    extract(examples, replace(SETTINGS, grid=3), paths[1], part=Part(2, 2), progress=False)


def _other_count(paths: list[Path], examples: list[Example]) -> None:
    shutil.rmtree(paths[1])
    extract(examples, SETTINGS, paths[1], part=Part(2, 3), progress=False)


def _twice(paths: list[Path], examples: list[Example]) -> None:
    shutil.rmtree(paths[1])
    shutil.copytree(paths[0], paths[1])


def _damaged(paths: list[Path], examples: list[Example]) -> None:
    (paths[1] / "part.json").write_text('{"format": "unboxed-part"}')


def _newer(paths: list[Path], examples: list[Example]) -> None:
    values = json.loads((paths[1] / "part.json").read_text())
    (paths[1] / "part.json").write_text(json.dumps(values | {"version": 2}))


def _no_part(paths: list[Path], examples: list[Example]) -> None:
    (paths[1] / "part.json").unlink()


def _missing(paths: list[Path], examples: list[Example]) -> None:
    paths.pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_dataset_changed, "another dataset"),
        (_settings_changed, r"other settings than .*grid: 3 there, 2 here"),
        (_other_count, "part 1/2 and .* part 2/3: not parts of one whole"),
        (_twice, "both hold part 1/2"),
        (_damaged, "part.json cannot be read"),
        (_newer, "part.json cannot be read .*version 2"),
        (_no_part, "holds no part of an extraction"),
        (_missing, "Parts are missing: 2/2"),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_nothing_is_written(
    change: Callable[[list[Path], list[Example]], None], message: str, examples: list[Example], tmp_path: Path
) -> None:
    paths = _extract_parts(examples, 2, tmp_path)
    change(paths, examples)
    with pytest.raises(StoreError, match=message):
        merge_parts(paths, tmp_path / "merged", progress=False)
    assert not (tmp_path / "merged").exists()


def test_of_many_missing_parts_the_first_are_named() -> None:
    records = [(Path(f"{k}"), PartRecord(Part(k, 10**9), "", {}, finished=True)) for k in (1, 3)]
    with pytest.raises(StoreError, match=r"missing: 2/1000000000, 4/.*, 12/1000000000 and 999,999,988 more\. Make"):
        require_all_parts(records)


def test_a_folder_holds_one_part_or_the_whole(examples: list[Example], whole: Path, tmp_path: Path) -> None:
    (part,) = _extract_parts(examples[:2], 1, tmp_path)
    with pytest.raises(StoreError, match="holds part 1/1; choose another folder for part 1/3"):
        extract(examples, SETTINGS, part, part=Part(1, 3), progress=False)
    with pytest.raises(StoreError, match="holds part 1/1 alone"):
        extract(examples, SETTINGS, part, progress=False)
    with pytest.raises(StoreError, match="is a store of a whole dataset"):
        extract(examples, SETTINGS, whole, part=Part(1, 1), progress=False)
    with pytest.raises(StoreError, match="exists already"):
        merge_parts([part], whole)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/2", "1/", "-1/2", "1/2/3", "1/1000001", "1" * 5000 + "/2"])
def test_a_part_is_k_of_n(text: str) -> None:
    with pytest.raises(StoreError, match="expected K/N with 1 <= K <= N"):
        Part.parse(text)


def test_the_commands(tiny_dataset: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        out = str(tmp_path / str(number))
        main(["regions", str(tiny_dataset), "--out", out, "--whole-image", "--part", f"{number}/2"])
    main(["merge", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "merged")])
    main(["regions", str(tiny_dataset), "--out", str(tmp_path / "whole"), "--whole-image"])
    assert _files(tmp_path / "merged") == _files(tmp_path / "whole")
    assert len(RegionStore.open(tmp_path / "merged")) == 40
