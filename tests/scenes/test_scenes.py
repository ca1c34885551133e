"""The drawn world as a dataset: deterministic, in the native layout, with correct boxes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from unboxed.boxes import iou, nms
from unboxed.data.dataset import load_dataset
from unboxed.data.readers.flickr30k_entities import parse_sentence
from unboxed.errors import DatasetError
from unboxed.scenes import DETECTOR, write_scenes
from unboxed.scenes.kinds import KINDS, class_names
from unboxed.scenes.writing import draw_image
from unboxed.types import Example

TYPES = {"people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.toml of a small world: 60 train, 20 val and 10 test images of seed 3."""
    folder = tmp_path_factory.mktemp("worlds") / "world"
    return write_scenes(folder, seed=3, train=60, val=20, test=10, progress=False, workers=1)


@pytest.fixture(scope="module")
def examples(world: Path) -> tuple[Example, ...]:
    dataset = load_dataset(world)
    return tuple(example for name in dataset.split_names for example in dataset.split(name).examples)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_whatever_the_sizes_and_the_number_of_workers(
    world: Path, tmp_path: Path
) -> None:
    again = write_scenes(tmp_path / "again", seed=3, train=40, val=20, test=10, progress=False, workers=2)
    here, there = files_of(world.parent), files_of(again.parent)
    del there["train.txt"], there["data.toml"]
    assert there.items() <= here.items()
    assert (again.parent / "train.txt").read_text().split() == (world.parent / "train.txt").read_text().split()[:40]


def test_another_seed_gives_another_world() -> None:
    assert draw_image(0, 1_000_001).jpeg != draw_image(1, 1_000_001).jpeg


def test_the_real_reader_reads_it(world: Path, examples: tuple[Example, ...]) -> None:
    dataset = load_dataset(world)
    assert dataset.split_names == ("train", "val", "test")
    assert [len(dataset.split(name).examples) for name in dataset.split_names] == [60, 20, 10]
    assert not any(dataset.split(name).missing for name in dataset.split_names)
    assert dataset.regions is not None
    assert dataset.regions.detector == world.parent / "detector.onnx"
    assert all(len(example.captions) == 5 for example in examples)
    assert all(len({caption.text for caption in example.captions}) == 5 for example in examples)
    assert all(160 <= side <= 256 for example in examples for side in (example.width, example.height))


def test_every_sentence_is_in_the_native_syntax(world: Path) -> None:
    for path in (world.parent / "Sentences").iterdir():
        for line in path.read_text().splitlines():
            caption = parse_sentence(line)
            assert caption.phrases
            assert line.count("[") == len(caption.phrases)
            assert {kind for phrase in caption.phrases for kind in phrase.types} <= TYPES | {"notvisual"}


def test_boxes_lie_in_the_picture_and_are_large_enough_to_be_seen(examples: tuple[Example, ...]) -> None:
    for example in examples:
        for caption in example.captions:
            for phrase in caption.phrases:
                x1, y1, x2, y2 = phrase.boxes.T
                assert ((x1 >= 0) & (y1 >= 0) & (x2 <= example.width) & (y2 <= example.height)).all()
                assert ((x2 - x1 >= 6) & (y2 - y1 >= 6)).all()


def test_the_world_has_what_makes_the_task_hard(examples: tuple[Example, ...]) -> None:
    phrases = [phrase for example in examples for caption in example.captions for phrase in caption.phrases]
    assert {kind for phrase in phrases if len(phrase.boxes) for kind in phrase.types} == TYPES
    assert any(len(phrase.boxes) > 1 for phrase in phrases), "no plural with several boxes"
    assert any(phrase.chain == "0" for phrase in phrases), "nothing that is not visual"
    assert any(phrase.types == ("scene",) and not len(phrase.boxes) for phrase in phrases), "no scene without a box"
    nouns = {phrase.text.split()[-1].lower() for phrase in phrases}
    assert nouns & {"guy", "lady", "kid", "child"}, "no synonyms"
    assert nouns & {"animal", "vehicle", "instrument", "person"}, "no hypernyms"
    for example in examples:
        of_chain = {p.chain: tuple(map(tuple, p.boxes)) for c in example.captions for p in c.phrases}
        assert all(
            of_chain[p.chain] == tuple(map(tuple, p.boxes)) for c in example.captions for p in c.phrases
        )  # a chain is one thing in all five captions


def test_the_world_knows_enough_kinds() -> None:
    assert len(KINDS) >= 40
    assert {kind.type for kind in KINDS.values()} == TYPES
    assert len(set(class_names())) == len(class_names())


def test_a_finished_world_is_used_again_and_another_folder_is_never_touched(world: Path, tmp_path: Path) -> None:
    before = (world.parent / "images" / "1000001.jpg").stat().st_mtime_ns
    assert write_scenes(world.parent, seed=3, train=60, val=20, test=10, progress=False) == world
    assert (world.parent / "images" / "1000001.jpg").stat().st_mtime_ns == before
    with pytest.raises(DatasetError, match="already holds something else"):
        write_scenes(world.parent, seed=4, train=60, val=20, test=10, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="already holds something else"):
        write_scenes(tmp_path, train=1, val=0, test=0, progress=False)
    with pytest.raises(DatasetError, match="already holds something else"):
        write_scenes(tmp_path / "notes.txt", train=1, val=0, test=0, progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(DatasetError, match="at least one image"):
        write_scenes(tmp_path / "new", train=0, val=0, test=0, progress=False)
    with pytest.raises(DatasetError, match="--seed 0, --train -5, --val 1, --test 1: give a seed of 0 or more"):
        write_scenes(tmp_path / "new", train=-5, val=1, test=1, progress=False)


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unboxed.scenes.writing.draw_image", break_off)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "world", train=2, val=0, test=0, progress=False, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process from /proc")
def test_the_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    draw = (
        f"from unboxed.scenes import write_scenes; write_scenes(pathlib.Path({str(tmp_path / 'world')!r}), workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", f"import pathlib\nif __name__ == '__main__': {draw}"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 60
    while time.monotonic() < end and not any(tmp_path.rglob("*.jpg")):  # the workers have begun
        time.sleep(0.05)
    workers = children.read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.monotonic() < end and any(_is_running(worker) for worker in workers):
        time.sleep(0.05)
    assert len(workers) >= 2 and not any(_is_running(worker) for worker in workers)


def _is_running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_detector_proposes_what_captions_mention(examples: tuple[Example, ...]) -> None:
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(DETECTOR), options, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert tuple(metadata["class_names"].splitlines()) == class_names()
    assert metadata["licence"] == "Apache-2.0"
    found = total = 0
    for example in examples[:20]:
        picture = Image.open(example.path)
        scale = 256 / max(picture.size)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        pixels = np.full((256, 256, 3), 114, np.float32)
        pixels[: picture.height, : picture.width] = np.asarray(picture)
        boxes, scores, features = session.run(
            ["boxes", "scores", "features"], {"images": pixels.transpose(2, 0, 1)[None] / 255}
        )
        assert features.shape[:2] == (1, 64)
        score = scores[0].max(axis=1)
        best = np.argsort(-score)[:300]
        kept = boxes[0][best][nms(boxes[0][best], score[best], 0.6)[:40]]
        for caption in example.captions:
            for phrase in caption.phrases:
                if len(phrase.boxes):
                    total += 1
                    found += bool((iou(phrase.boxes * np.float32(scale), kept) >= 0.5).any())
    assert found / total >= 0.9, f"{found} of {total} phrases are proposed"
