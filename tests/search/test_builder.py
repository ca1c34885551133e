"""An index follows its photographs: additions, changes, removals, damage, interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unboxed.errors import ImageError, RunError, SearchError
from unboxed.inference.grounder import Grounder
from unboxed.search import Index, IndexSummary, builder, index_images
from unboxed.search.embedding_shards import CodeShard

Counts = tuple[int, int, int, int]


def _counts(summary: IndexSummary) -> Counts:
    return summary.added, summary.updated, summary.removed, summary.kept


def _scores(out: Path) -> dict[str, float]:
    return {hit.name: hit.score for hit in Index.open(out).search("a red box", k=100)}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contents that are looked at, as they come."""
    keys: list[str] = []
    look = builder._Work._look
    monkeypatch.setattr(builder._Work, "_look", lambda self, key, image: keys.append(key) or look(self, key, image))
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

    kept = [image.key for file in out.rglob("shards/*.safetensors") for image in CodeShard(file).images]
    assert len(kept) == len(set(kept)) == 12  # nothing is left of images that were removed
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        index_images(tiny_run, own_images, out, strict=True, progress=False)


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
        "from unboxed.search import builder\n"
        "builder._SHARD = builder._TOGETHER = 4\n"
        "look = builder._Work._look\n"
        "looked = []\n"
        "def slow(self, key, image):\n"
        "    looked.append(key)\n"
        "    time.sleep(600 if len(looked) > 6 else 0)\n"
        "    return look(self, key, image)\n"
        "builder._Work._look = slow\n"
        "builder.index_images(*map(Path, sys.argv[1:]), workers=1, progress=False)\n"
    )
    call = subprocess.Popen([sys.executable, "-c", slowly, tiny_run, everything, out])
    waited = time.monotonic() + 120
    while len(list(out.rglob("shards/*.safetensors"))) < 2 and time.monotonic() < waited:
        time.sleep(0.005)
    os.kill(call.pid, signal.SIGKILL)
    assert call.wait() == -signal.SIGKILL
    assert _scores(out) == before

    finished = {image.key for file in out.rglob("shards/*.safetensors") for image in CodeShard(file).images}
    assert 12 < len(finished) < len(different)
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
    assert _counts(index_images(other, own_images, out, again=True, progress=False)) == (0, 0, 0, 12)
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
