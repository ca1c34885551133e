"""Common mistakes with the exact message of each, which says what was found and how to fix it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unboxed.cli import COMMANDS, main

TABLES = {
    "columns.csv": "picture,words\n0.png,a box\n",
    "empty.csv": "image,caption\n0.png,\n",
    "commas.csv": "image,caption\n0.png,a red box,a blue box\n",
    "elsewhere.csv": "image,caption\na.png,a box\nb.png,a box\n",
    "rows.csv": "image,caption\n",
    "broken.jsonl": '{"image": "0.png", "caption": "a box"}\n{"image": \n',
    "three.csv": "image,caption\nsome/0.png,a box\nsome/1.png,a box\nsome/2.png,a box\n",
    "notes.txt": "a box",
    "detector.onnx": "a box",
    "photo.jpg": "a box",
}

MISTAKES = [
    ("fti", "There is no command 'fti'; did you mean 'fit'? Known are {commands}."),
    (
        "fit infogrond --data DATA --out RUN",
        "There is no recipe 'infogrond'; did you mean 'infoground'? Known are infoground, ckd, sprm, scan, bfan, pfan, "
        "sgr, saf, vse, npair.",
    ),
    ("fit", "Nothing to train on: unboxed fit --data photos.csv --out run. More: unboxed fit --help"),
    (
        "fit --data T/gone.csv --out T/new",
        "T/gone.csv does not exist; name a dataset's TOML file, a table of captions (.csv, .tsv, .txt, .jsonl, "
        ".ndjson, .json, .psv, .tab, .token, .parquet), or a folder.",
    ),
    (
        "fit --data T/columns.csv --out T/new",
        "T/columns.csv:1: expected one column 'caption', found: picture, words. Name it in the first line.",
    ),
    (
        "fit --data T/empty.csv --out T/new",
        "T/empty.csv has no rows with an image and a caption; write one per row. Left out: 1 row without a caption "
        "(T/empty.csv:2)",
    ),
    (
        "fit --data T/commas.csv --out T/new",
        "T/commas.csv:2: 3 fields, the first line has 2; put captions that hold a comma in double quotes.",
    ),
    (
        "fit --data T/elsewhere.csv --out T/new",
        "Split 'train' lists 2 images, and none of them is stored in T, such as a.png, b.png; keep the captions "
        "in the folder of the images, or let `images` of a TOML file name it.",
    ),
    (
        "fit --data T/rows.csv --out T/new",
        "T/rows.csv has no rows with an image and a caption; write one per row.",
    ),
    (
        "fit --data T/broken.jsonl --out T/new",
        "T/broken.jsonl:2: not JSON (Expecting value: line 1 column 11 (char 10)); write one object per line.",
    ),
    (
        "fit --data T/notes.txt --out T/new",
        "T/notes.txt:1: expected one column 'image', found: a box. Name it in the first line.",
    ),
    (
        "init T/nothing",
        "No images found in T/nothing; expected .jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff, .avif, .heic, .heif,"
        " .jfif, .jpe, a table of captions that names them, or the parquet or tar files of a dataset.",
    ),
    (
        "fit --data T/three.csv --out T/new",
        "T/three.csv has 1 of its 3 images in the split 'val'; training and validation contrast images with "
        "each other and need at least two each.",
    ),
    ("fit --data DATA --out RUN", "RUN already holds a run; continue it with --resume, or choose another --out."),
    (
        "fit --data DATA --out T/new --detector T/gone.onnx",
        "There is no model file T/gone.onnx; give the path of an ONNX file.",
    ),
    (
        "fit --data DATA --out T/new --detector T/detector.onnx",
        "T/detector.onnx cannot be opened as an ONNX graph (it is no ONNX file); give a file exported to ONNX.",
    ),
    (
        "fit --data DATA --out T/new --regions T/nothing",
        "T/nothing is not a region store: it has no store.json. Make one with `unboxed regions`.",
    ),
    (
        "regions DATA --out STORE --grid 3",
        "STORE was made with other settings (grid: 2 there, 3 here). Use the same settings to go on with it, or choose "
        "another folder.",
    ),
    (
        "evaluate RUN --data DATA --regions STORE",
        "STORE was made with other settings than the run: grid: 3 there, 2 here; segments: true there, false here. "
        "Leave out --regions, and regions are extracted with the settings of the run.",
    ),
    ("fit --data RUN --out T/new", "RUN is a run, and holds no images with captions; name the folder of the images."),
    (
        "label STORE --run RUN --out T/new.json",
        "STORE is a store of regions, and holds no images with captions; name the folder of the images.",
    ),
    ("evaluate RUN --data DATA --split tset", "DATA has no split 'tset'; expected one of: val, train, all."),
    (
        "fit ckd --prior semantic --data DATA --out T/new --regions STORE",
        "The semantic prior compares phrases with the names of detected classes, and these regions have none; find "
        "regions with a detector (--detector FILE of `unboxed regions` or `fit`, or `detector` under [regions] of the "
        "dataset file), or train without the prior: another recipe, such as infoground, or --prior none "
        "--distillation 0.",
    ),
    ("ground T/gone IMAGE box", "There is no folder T/gone; name that of a run, or train one with `unboxed fit`."),
    (
        "ground T/nothing IMAGE box",
        "T/nothing is not a run: it has no config.json. Train one with `unboxed fit`, or name its folder.",
    ),
    ("ground RUN T/gone.jpg box", "T/gone.jpg does not exist; check the path of the image."),
    (
        "ground RUN T/photo.jpg box",
        "T/photo.jpg (5 bytes) is not an image, or its first bytes are damaged; expected JPEG, PNG, WEBP, BMP, "
        "GIF, TIFF, AVIF, HEIF. Convert it or fetch it again.",
    ),
    ("ground RUN T/nothing box", "There are no images in T/nothing; name a folder with images, or one image."),
    ("ground RUN IMAGE …", "The caption '…' has no words; give it at least one."),
    (
        "ground RUN IMAGE box --save T/boxed.xyz",
        "T/boxed.xyz is no name for this file; let it end in .png or .jpg or .jpeg or .webp.",
    ),
]


@pytest.fixture(scope="session")
def places(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths that stand for the names in capitals."""
    folder = tmp_path_factory.mktemp("mistakes") / "tables"  # images are looked for beside the folder of a table too
    folder.mkdir()
    for name, content in TABLES.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "nothing").mkdir()
    (folder / "some").mkdir()
    for name in ("0.png", "1.png", "2.png"):
        shutil.copy(tiny_dataset.parent / "photos" / name, folder / "some")
    main(["regions", str(tiny_dataset), "--out", str(folder / "store"), "--grid", "2"])
    image = tiny_dataset.parent / "photos" / "2.png"
    paths = {"DATA": tiny_dataset, "RUN": tiny_run, "STORE": folder / "store", "IMAGE": image, "T": folder}
    return {name: str(path) for name, path in paths.items()}


def _with_paths(text: str, places: dict[str, str]) -> str:
    words = []
    for word in text.split(" "):
        name, slash, rest = word.partition("/")
        stem = name.strip("(,;:")
        words.append(name.replace(stem, places.get(stem, stem)) + slash + rest)
    return " ".join(words)


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_common_mistake(
    command: str, message: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([_with_paths(argument, places) for argument in command.split(" ")])
    assert ended.value.code == 2
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed == "error: " + _with_paths(message, places).replace("{commands}", ", ".join(COMMANDS))
    assert not Path(places["T"], "new", "config.json").exists()
