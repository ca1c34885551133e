"""An index follows its photographs: additions, changes, removals, damage, interruptions."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data.dataset import load_dataset
from unboxed.errors import ImageError, RunError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.regions.extraction import extract
from unboxed.search import Index, IndexOptions, IndexSummary, builder, index_images, index_writer
from unboxed.search.image_embeddings import Shard
from unboxed.search.index_writer import IndexWriter

Counts = tuple[int, int, int, int]


def _counts(summary: IndexSummary) -> Counts:
    return summary.added, summary.updated, summary.removed, summary.kept


def _scores(out: Path) -> dict[str, float]:
    return {hit.name: hit.score for hit in Index.open(out).search("a red box", k=100)}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contents that are looked at, as they come."""
    keys: list[str] = []
    regions = IndexWriter._regions
    monkeypatch.setattr(IndexWriter, "_regions", lambda self, key, image: keys.append(key) or regions(self, key, image))
    return keys


def test_what_changed_is_added_updated_and_removed_and_nothing_is_looked_at_twice(
    tiny_run: Path, different: list[Path], own_images: Path, tmp_path: Path, looked: list[str]
) -> None:
    out = tmp_path / "index"
    assert _counts(index_images(tiny_run, own_images, out, progress=False)) == (12, 0, 0, 0)
    first = _scores(out)
    looked.clear()
    assert _counts(index_images(tiny_run, own_images, out, progress=False)) == (0, 0, 0, 12)
    assert _scores(out) == first and not looked

    shutil.copyfile(different[12], own_images / "new.png")
    shutil.copyfile(different[13], own_images / "1.png")
    (own_images / "2.png").unlink()
    (own_images / "sub").mkdir()
    (own_images / "3.png").rename(own_images / "sub" / "moved.png")
    (own_images / "broken.jpg").write_bytes(different[14].read_bytes()[:90])
    summary = index_images(tiny_run, own_images, out, progress=False)
    assert _counts(summary) == (2, 1, 2, 9)
    assert [name for name, _ in summary.skipped] == ["broken.jpg"] and "broken.jpg" in str(summary)
    assert len(looked) == 3  # the new one, the changed one and the broken one
    index_images(tiny_run, own_images, tmp_path / "anew", progress=False)
    assert _scores(out) == pytest.approx(_scores(tmp_path / "anew"), abs=1e-5)
    assert _scores(out)["sub/moved.png"] == pytest.approx(first["3.png"], abs=1e-5)

    kept = [entry.key for file in out.rglob("shards/[0-9]*.safetensors") for entry in Shard(file).entries]
    assert len(kept) == len(set(kept)) == 12  # nothing is left of images that were removed
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        index_images(tiny_run, own_images, out, IndexOptions(strict=True), progress=False)


def test_captions_of_a_folder_come_along_and_change(tiny_run: Path, own_images: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    for number in range(12):
        (own_images / f"{number}.txt").write_text("a red box\na blue box beside a green box\n")
    assert index_images(tiny_run, own_images, out, progress=False).captions == 24
    (own_images / "4.txt").write_text("a yellow box")
    summary = index_images(tiny_run, own_images, out, progress=False)
    assert summary.captions == 23 and summary.kept == 12
    texts = {hit.caption for hit in Index.open(out).captions_for(own_images / "4.png", k=9)}
    assert texts == {"a red box", "a blue box beside a green box", "a yellow box"}


def test_a_killed_call_leaves_the_index_as_it_was_and_the_next_one_takes_over_what_was_finished(
    tiny_run: Path, tiny_dataset: Path, different: list[Path], own_images: Path, tmp_path: Path, looked: list[str]
) -> None:
    out = tmp_path / "index"
    index_images(tiny_run, own_images, out, progress=False)
    before = _scores(out)
    everything = tiny_dataset.parent / "photos"  # among its 40 are pictures that are the same
    slowly = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from unboxed.search import IndexOptions, index_images, index_writer\n"
        "index_writer._SHARD_IMAGES = index_writer._BATCH_IMAGES = 4\n"
        "regions = index_writer.IndexWriter._regions\n"
        "looked = []\n"
        "def slow(self, key, image):\n"
        "    looked.append(key)\n"
        "    time.sleep(600 if len(looked) > 6 else 0)\n"
        "    return regions(self, key, image)\n"
        "index_writer.IndexWriter._regions = slow\n"
        "index_images(*map(Path, sys.argv[1:]), IndexOptions(workers=1), progress=False)\n"
    )
    call = subprocess.Popen([sys.executable, "-c", slowly, tiny_run, everything, out])
    waited = time.monotonic() + 120
    while len(list(out.rglob("shards/[0-9]*.safetensors"))) < 2 and time.monotonic() < waited:
        time.sleep(0.005)
    os.kill(call.pid, signal.SIGKILL)
    assert call.wait() == -signal.SIGKILL
    assert _scores(out) == before

    finished = {entry.key for file in out.rglob("shards/[0-9]*.safetensors") for entry in Shard(file).entries}
    assert 12 < len(finished) < len(different)
    (shards,) = {file.parent for file in out.rglob("shards/[0-9]*.safetensors")}
    (shards / ".000002.12-0.safetensors").write_bytes(
        b"a part of a shard"
    )  # as a kill within an atomic write leaves it
    looked.clear()
    summary = index_images(tiny_run, everything, out, progress=False)
    assert summary.images == 40 and len(looked) == len(different) - len(finished)
    index_images(tiny_run, everything, tmp_path / "at once", progress=False)
    assert _scores(out) == pytest.approx(_scores(tmp_path / "at once"), abs=1e-5)


def test_another_run_asks_first_and_then_encodes_anew(tiny_run: Path, own_images: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "index", tmp_path / "other"
    index_images(tiny_run, own_images, out, progress=False)
    before = _scores(out)
    grounder = Grounder.load(tiny_run)
    for weight in grounder.model.parameters():
        weight.data += 0.01
    grounder.save(other)
    with pytest.raises(SearchError, match=r"another run .* Add --again"):
        index_images(other, own_images, out, progress=False)
    assert _scores(out) == before
    assert _counts(index_images(other, own_images, out, IndexOptions(again=True), progress=False)) == (0, 0, 0, 12)
    assert _scores(out) != before
    assert len([entry for entry in out.iterdir() if entry.is_dir()]) == 1


def test_helpful_errors(tiny_run: Path, own_images: Path, tmp_path: Path, tiny_index_folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SearchError, match=r"There are no images in .*empty"):
        index_images(tiny_run, tmp_path / "empty", tmp_path / "index", progress=False)
    with pytest.raises(SearchError, match="exists and is no index"):
        index_images(tiny_run, own_images, own_images, progress=False)
    with pytest.raises(RunError, match="is not a run"):
        index_images(tmp_path / "empty", own_images, tmp_path / "index", progress=False)
    with pytest.raises(SearchError, match=r"There is no index in .*; make one with `unboxed index"):
        Index.open(tmp_path / "nowhere")
    copy = tmp_path / "copy"
    shutil.copytree(tiny_index_folder, copy)
    content = json.loads((copy / "index.json").read_text())
    (copy / "index.json").write_text(json.dumps(content | {"version": 99}))
    with pytest.raises(SearchError, match="Update unboxed"):
        Index.open(copy)
    (copy / "index.json").unlink()
    with pytest.raises(SearchError, match="was not finished; run the same `unboxed index` again"):
        Index.open(copy)
    (copy / "index.json").write_text(json.dumps(content))
    table = next(copy.glob("*/table.safetensors"))
    table.write_bytes(table.read_bytes()[:1000])
    with pytest.raises(SearchError, match="is damaged"):
        Index.open(copy)


def test_regions_of_a_store_are_indexed_and_those_of_a_changed_image_are_not(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    data = load_dataset(tmp_path / "data" / "data.toml")
    examples = [example for name in data.split_names for example in data.split(name).examples]
    extract(examples, Grounder.load(tiny_run).config.regions, tmp_path / "store", progress=False)
    options = IndexOptions(regions=tmp_path / "store")
    index_images(tiny_run, data.path, tmp_path / "stored", options, progress=False)
    index_images(tiny_run, data.path, tmp_path / "found", progress=False)
    assert _scores(tmp_path / "stored") == pytest.approx(_scores(tmp_path / "found"), abs=2e-3)

    Image.new("RGB", (96, 64), "#123456").save(tmp_path / "data" / "photos" / "7.png")
    summary = index_images(tiny_run, data.path, tmp_path / "stored", options, progress=False)
    assert (summary.images, summary.removed) == (39, 1)
    ((name, reason),) = summary.skipped
    assert name == "7.png" and "has no regions of this image as it is now; run `unboxed regions` on it" in reason
    with pytest.raises(ImageError, match="has no regions of this image as it is now"):
        index_images(tiny_run, data.path, tmp_path / "stored", replace(options, strict=True), progress=False)


def test_images_without_a_file_or_with_a_damaged_one_are_skipped_or_stop_a_strict_call(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    data, image = tmp_path / "data" / "data.toml", tmp_path / "data" / "photos" / "15.png"
    image.unlink()
    options = IndexOptions(split="val")
    summary = index_images(tiny_run, data, tmp_path / "index", options, progress=False)
    assert summary.images == 7 and summary.skipped == (("15.png", "No file of that name is stored."),)
    with pytest.raises(ImageError, match=r"15\.png cannot be used: No file of that name is stored\. Without --strict"):
        index_images(tiny_run, data, tmp_path / "index", replace(options, strict=True), progress=False)
    assert len(_scores(tmp_path / "index")) == 7


def test_a_file_that_cannot_be_read_while_it_is_hashed_is_skipped(
    tiny_run: Path, own_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = builder.image_key

    def unreadable(path: Path, size: tuple[int, int] | None) -> str:
        if path.name == "3.png":
            raise ImageError("3.png cannot be read (Permission denied)")
        return key(path, size)

    monkeypatch.setattr(builder, "image_key", unreadable)
    summary = index_images(tiny_run, own_images, tmp_path / "index", progress=False)
    assert (summary.images, summary.skipped) == (11, (("3.png", "3.png cannot be read (Permission denied)"),))
    with pytest.raises(ImageError, match="Permission denied"):
        index_images(tiny_run, own_images, tmp_path / "index", IndexOptions(strict=True), progress=False)


def test_an_index_of_which_no_image_can_be_used_is_an_error(tiny_run: Path, own_images: Path, tmp_path: Path) -> None:
    for image in own_images.iterdir():
        image.write_bytes(image.read_bytes()[:90])
    with pytest.raises(ImageError, match=r"None of the 12 images could be used; \d+\.png: "):
        index_images(tiny_run, own_images, tmp_path / "index", progress=False)
    with pytest.raises(SearchError, match="was not finished"):
        Index.open(tmp_path / "index")


def test_a_strict_call_that_stops_keeps_what_it_has_encoded(
    tiny_run: Path, own_images: Path, tmp_path: Path, looked: list[str]
) -> None:
    (own_images / "zz.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError, match=r"zz\.png"):
        index_images(tiny_run, own_images, tmp_path / "index", IndexOptions(strict=True, workers=1), progress=False)
    looked.clear()
    assert index_images(tiny_run, own_images, tmp_path / "index", progress=False).added == 12
    assert len(looked) == 1  # the broken one


def test_an_index_that_doubles_or_loses_its_sample_gets_a_new_approximation(
    tiny_run: Path, different: list[Path], own_images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"

    def basis() -> bytes:
        return Index.open(out).table.low_rank.basis_AE.numpy().tobytes()

    index_images(tiny_run, own_images, out, progress=False)
    first = basis()
    shutil.copyfile(different[12], own_images / "12.png")
    index_images(tiny_run, own_images, out, progress=False)
    assert basis() == first  # one image more
    (own_images / "0.png").unlink()
    index_images(tiny_run, own_images, out, progress=False)
    second = basis()
    assert second != first  # it was in the sample
    for number, file in enumerate(different[:29]):
        shutil.copyfile(file, own_images / f"more{number}.png")
    index_images(tiny_run, own_images, out, progress=False)
    assert basis() != second


def test_a_summary_names_the_first_skipped_images_and_counts_the_others() -> None:
    skipped = tuple((f"{number:02d}.png", "broken") for number in range(12))
    summary = IndexSummary(3, 4, 1, 0, 0, 2, skipped, 5.4)
    lines = str(summary).splitlines()
    assert (
        lines[0] == "3 images and 4 captions in the index: 1 added, 0 updated, 0 removed, 2 as before, 12 skipped; 5 s"
    )
    assert lines[1] == "  skipped 00.png: broken" and len(lines) == 12 and lines[-1] == "  and 2 more"
    assert summary.to_dict() == {
        "photos": 3, "captions": 4, "added": 1, "updated": 0, "removed": 0, "kept": 2,
        "skipped": [{"name": name, "reason": reason} for name, reason in skipped],
    }  # fmt: skip


def test_many_new_captions_are_announced(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_writer, "_MANY_CAPTIONS", 10)
    lines: list[str] = []
    index_images(tiny_run, tiny_dataset, tmp_path / "index", progress=False, show=lines.append)
    assert re.fullmatch(r"Encoding \d\d captions", lines[0])


def test_batches_and_shards_of_any_size_give_the_same_index(
    tiny_run: Path, own_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_images(tiny_run, own_images, tmp_path / "one", progress=False)
    monkeypatch.setattr(index_writer, "_BATCH_IMAGES", 2)
    monkeypatch.setattr(index_writer, "_SHARD_IMAGES", 5)
    index_images(tiny_run, own_images, tmp_path / "many", progress=False)
    shards = [len(Shard(file).entries) for file in sorted((tmp_path / "many").rglob("shards/*"))]
    assert shards == [6, 6] and len(list((tmp_path / "one").rglob("shards/*"))) == 1  # batches are not divided
    assert _scores(tmp_path / "many") == pytest.approx(_scores(tmp_path / "one"), abs=2e-3)
