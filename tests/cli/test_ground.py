"""`unboxed ground`: its JSON, its lines, its picture, and its errors."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.cli.output import phrase_line
from unboxed.errors import NoRegionsError
from unboxed.inference.results import GroundedPhrase
from unboxed.regions.cached_extractor import CachedExtractor
from unboxed.types import Regions


def _image(data: Path) -> Path:
    return data.parent / "photos" / "0.png"


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_ground_prints_one_json_object_in_pixels_of_the_upright_image(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upright = Image.open(_image(tiny_dataset)).convert("RGB")
    turned, exif = upright.rotate(90, expand=True), Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    turned.save(tmp_path / "turned.png", exif=exif)
    answers = []
    for image in (_image(tiny_dataset), tmp_path / "turned.png"):
        main(["ground", str(tiny_run), str(image), "A red box beside a blue box.", "--json"])
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    phrases = answers[0]["phrases"]
    assert [phrase["text"] for phrase in phrases] == ["A red box", "a blue box"]
    assert [(phrase["start"], phrase["end"]) for phrase in phrases] == [(0, 9), (17, 27)]
    for phrase in phrases:
        assert len(phrase["boxes"]) == len(phrase["scores"]) >= 1
        assert phrase["scores"] == sorted(phrase["scores"], reverse=True)
        assert all(0 <= x1 < x2 <= 96 and 0 <= y1 < y2 <= 64 for x1, y1, x2, y2 in phrase["boxes"])


def test_words_outside_of_the_vocabulary_are_named(
    tiny_run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ground", str(tiny_run), str(_image(tiny_dataset)), "A red guitar beside a Guitar.", "--json"])
    printed = capsys.readouterr()
    assert printed.err.startswith("Words that are not in the vocabulary of the run: guitar. ")
    assert [phrase["unknown"] for phrase in json.loads(printed.out)["phrases"]] == [["guitar"], ["guitar"]]
    main(["ground", str(tiny_run), str(_image(tiny_dataset)), "--phrases", "guitar, red box, zither"])
    printed = capsys.readouterr()
    assert printed.err.count("not in the vocabulary") == 1
    guitar, box, zither = printed.out.splitlines()
    assert "a guess: unknown guitar" in guitar and "guess" not in box and "a guess: unknown zither" in zither


def test_ground_saves_a_picture(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    main(["ground", str(tiny_run), str(_image(tiny_dataset)), "a red box", "--save", str(tmp_path / "new" / "a.png")])
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.width >= 640


def test_a_picture_does_not_replace_what_is_grounded(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    image = tmp_path / "a.png"
    shutil.copy(_image(tiny_dataset), image)
    for place in (image, tmp_path):
        line = error_line("ground", tiny_run, place, "a red box", "--save", place)
        assert line == f"error: {place} is read by this command, which would replace it; choose another name."
    assert image.read_bytes() == _image(tiny_dataset).read_bytes() and list(tmp_path.iterdir()) == [image]


def test_phrases_are_printed_with_their_best_boxes(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ground", str(tiny_run), str(_image(tiny_dataset)), "A red box beside a blue box."]
    main([*command, "--json", "--top", "1"])
    phrases = json.loads(capsys.readouterr().out)["phrases"]
    main([*command, "--absent", "--save", str(tmp_path / "a.png")])
    printed = capsys.readouterr()
    assert printed.err == f"Picture: {tmp_path / 'a.png'}\n"
    for line, phrase in zip(printed.out.splitlines(), phrases, strict=True):
        box = ", ".join(f"{edge:.0f}" for edge in phrase["boxes"][0])
        assert line.startswith(f"{phrase['text']}: [{box}]  ") and line.count(".") == 1  # one number
    main(command)
    assert capsys.readouterr().err == ""


def test_a_plural_is_printed_with_all_boxes_of_its_set() -> None:
    boxes = [[0, 0, 9, 9], [0, 0, 5, 9], [5, 0, 9, 9]]
    phrase = GroundedPhrase("two dogs", 0, 8, boxes, [0.5, 0.4, 0.3], confidence=0.75, set_ranks=(1, 2))
    assert phrase_line(phrase, absent=False) == "two dogs: [0, 0, 5, 9]  [5, 0, 9, 9]  probability 0.75"


def test_an_absent_phrase_is_printed_with_its_box_on_request() -> None:
    phrase = GroundedPhrase("a dog", 0, 5, [[1.4, 2, 3, 4]], [0.5], confidence=0.25)
    assert phrase_line(phrase, absent=False) == "a dog: probably not in the image (probability 0.25 that it is)"
    box = "[1, 2, 3, 4]  probably not in the image (probability 0.25 that it is)"
    assert phrase_line(phrase, absent=True) == f"a dog: {box}"
    nearly = GroundedPhrase("a dog", 0, 5, [[1, 2, 3, 4]], [0.5], confidence=0.4999)
    assert nearly.strength == "probability 0.49"  # 0.50 would read as present
    assert GroundedPhrase("a dog", 0, 5, [[1, 2, 3, 4]], [0.5]).strength == "match 0.50"


def test_listed_phrases_are_grounded_instead_of_those_of_the_rules(
    tiny_run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str], error_line: Callable[..., str]
) -> None:
    command = ["ground", str(tiny_run), str(_image(tiny_dataset))]
    main([*command, "A red box beside a blue box.", "--phrases", "blue box, red box", "--json"])
    assert [p["start"] for p in json.loads(capsys.readouterr().out)["phrases"]] == [2, 19]
    main([*command, "--phrases", "red box, blue box", "--json"])
    alone = json.loads(capsys.readouterr().out)["phrases"]
    assert [(p["text"], p["start"]) for p in alone] == [("red box", 0), ("blue box", 9)]
    main([*command, "blue box", "--json"])
    assert json.loads(capsys.readouterr().out)["phrases"][0]["boxes"] == alone[1]["boxes"]  # each stands for itself
    assert "has no 'green box'" in error_line(*command, "A red box.", "--phrases", "green box")
    assert "overlap" in error_line(*command, "A red box.", "--phrases", "red, red box")
    assert "--phrases" in error_line(*command)


def test_every_image_of_a_folder_is_grounded(
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error_line: Callable[..., str],
) -> None:
    (tmp_path / "photos" / "more").mkdir(parents=True)
    shutil.copy(_image(tiny_dataset), tmp_path / "photos" / "more" / "a.png")
    shutil.copy(_image(tiny_dataset), tmp_path / "photos" / "b.png")
    Image.open(_image(tiny_dataset)).convert("RGB").save(tmp_path / "photos" / "more" / "a.webp", lossless=True)
    shutil.copy(_image(tiny_dataset), tmp_path / "photos" / "more" / "a.png.png")
    (tmp_path / "photos" / "c.png").write_bytes(b"no image")
    command = ["ground", str(tiny_run), str(tmp_path / "photos"), "a red box", "--save", str(tmp_path / "boxed")]
    main([*command, "--json"])
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["image"] for line in lines] == [
        "b.png",
        "more/a.png",
        "more/a.png.png",
        "more/a.webp",
    ] and "Skipped c.png" in printed.err
    assert lines[0]["phrases"] == lines[1]["phrases"]
    saved = sorted(str(file.relative_to(tmp_path / "boxed")) for file in (tmp_path / "boxed").rglob("*.*"))
    assert saved == ["b.png", "more/a.png.png", "more/a.png.png.png", "more/a.webp.png"]
    main(command)
    assert capsys.readouterr().out.splitlines()[0] == "b.png"
    (tmp_path / "empty").mkdir()
    assert "no images" in error_line("ground", tiny_run, tmp_path / "empty", "a box")


def test_an_image_without_a_region_does_not_stop_a_folder(
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(_image(tiny_dataset), tmp_path / name)
    of_file = CachedExtractor.of_file

    def of_some(self: CachedExtractor, path: Path) -> Regions:
        if path.name == "a.png":
            raise NoRegionsError("No source proposed a region.")
        return of_file(self, path)

    monkeypatch.setattr(CachedExtractor, "of_file", of_some)
    main(["ground", str(tiny_run), str(tmp_path), "a red box", "--json"])
    printed = capsys.readouterr()
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == ["b.png"]
    assert "Skipped a.png: No source proposed a region." in printed.err


def test_bad_images(tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]) -> None:
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(_image(tiny_dataset).read_bytes()[:120])
    assert "truncated.png" in error_line("ground", tiny_run, truncated, "a box")
    huge = tmp_path / "huge.png"
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)  # ten gigapixels in 60 bytes
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", b""))
    assert "100000" in error_line("ground", tiny_run, huge, "a box").replace(",", "").replace(" ", "")
    assert "missing.jpg" in error_line("ground", tiny_run, tmp_path / "missing.jpg", "a box")


def test_a_caption_without_words(tiny_run: Path, tiny_dataset: Path, error_line: Callable[..., str]) -> None:
    assert "has no words" in error_line("ground", tiny_run, _image(tiny_dataset), "… !")


def test_a_folder_that_is_not_a_run_and_a_run_of_a_newer_version(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    assert "unboxed fit" in error_line("ground", tmp_path, _image(tiny_dataset), "a box")
    newer = tmp_path / "newer"
    shutil.copytree(tiny_run, newer)
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps(config | {"version": 99}))
    assert "pip install -U unboxed" in error_line("ground", newer, _image(tiny_dataset), "a box")
