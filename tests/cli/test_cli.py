"""The command line as a whole: its help, its JSON, and its errors."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

import unboxed.cli
from unboxed.cli import COMMANDS, main, recipe_commands
from unboxed.errors import UnboxedError
from unboxed.recipes import RECIPES


def _image(data: Path) -> Path:
    return data.parent / "photos" / "0.png"


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error line of a command, which must end with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    line = error.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_the_commands_are_these() -> None:
    assert list(COMMANDS) == [
        "demo", "init", "scenes", "regions", "import", "fit", "evaluate", "compare", "ground", "label", "export",
        "index", "search", "studio", "doctor", "bench",
    ]  # fmt: skip
    assert list(recipe_commands()) == list(RECIPES)
    recipes = {"infoground", "ckd", "sprm", "npair", "scan", "bfan", "pfan", "sgr", "saf", "vse"}
    assert set(RECIPES) == recipes


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["label", "photos", "--run", "run"], ["Missing from unboxed label", "--out PATH", "unboxed label --help"]),
        (["fit", "ckd", "--out", "run"], ["Missing from unboxed fit ckd", "--data PATH", "unboxed fit ckd --help"]),
        (["label", "photos", "--run", "r", "--out", "o", "--min-scor", "1"], ["--min-scor", "Perhaps", "--min-score"]),
        (["fit", "--data", "photos", "--out", "run", "--epochs", "ten"], ["--epochs INT", "'ten'"]),
    ],
)
def test_a_missing_or_misspelt_option_and_a_bad_value_are_named(
    arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert all(words in error for words in expected), error


def test_the_help_lists_the_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    pages = []
    for arguments in (["--help"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1] and len(pages[0].splitlines()) < 60
    assert all(f"• {name}" in pages[0] for name in COMMANDS)
    assert "unboxed label photos --run run --out coco.json" in pages[0]
    main(["--version"])
    assert capsys.readouterr().out == f"unboxed {unboxed.__version__}\n"


def test_the_help_of_fit_has_its_options_and_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["fit", "--help"], ["fit", "-h"]):
        with pytest.raises(SystemExit):
            main(arguments)
        page = capsys.readouterr().out
        assert all(f"\n  {name} " in page for name in RECIPES)
        assert all(option in page for option in ("--data PATH", "--out PATH", "--detector [PATH", "--epochs INT"))
        assert "None}" not in page


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from unboxed.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "heavy = {'torch', 'onnxruntime', 'skimage', 'scipy', 'transformers', 'PIL', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("raised", "code", "printed"),
    [
        (UnboxedError("No such thing; make one."), 2, "error: No such thing; make one.\n"),
        (KeyboardInterrupt(), 130, "Interrupted. Finished work is kept; `--resume` continues a fit.\n"),
    ],
)
def test_errors_and_interrupts_end_with_a_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    printed: str,
) -> None:
    def fail(args: list[str]) -> None:
        raise raised

    monkeypatch.setattr(unboxed.cli, "_run", fail)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == code
    assert capsys.readouterr().err == printed


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["doctor", "--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_without_a_traceback(arguments: list[str], unbuffered: str) -> None:
    """As in `unboxed --help | head`: the reader is gone before the output is written."""
    program = f"import sys; from unboxed.cli import main; sys.stdin.read(); main({arguments})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stdin.close()  # the program starts to print
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait() == 141


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
    assert printed.err == "Words that are not in the vocabulary of the run: guitar\n"
    assert json.loads(printed.out)["phrases"]


def test_ground_saves_a_picture(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    main(["ground", str(tiny_run), str(_image(tiny_dataset)), "a red box", "--save", str(tmp_path / "new" / "a.png")])
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.width >= 640


def test_a_dataset_with_an_unknown_key_or_a_missing_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.toml"
    data.write_text('format = "table"\nimagse = "photos"\n')
    assert "images" in _fails(capsys, "fit", "infoground", "--data", data, "--out", tmp_path / "run")
    data.write_text('format = "table"\nimages = "."\nannotations = "none.csv"\n')
    assert "none.csv" in _fails(capsys, "fit", "infoground", "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_images(tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(_image(tiny_dataset).read_bytes()[:120])
    assert "truncated.png" in _fails(capsys, "ground", tiny_run, truncated, "a box")
    huge = tmp_path / "huge.png"
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)  # ten gigapixels in 60 bytes
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", b""))
    assert "100000" in _fails(capsys, "ground", tiny_run, huge, "a box").replace(",", "").replace(" ", "")
    assert "missing.jpg" in _fails(capsys, "ground", tiny_run, tmp_path / "missing.jpg", "a box")


def test_a_caption_without_words(tiny_run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no words" in _fails(capsys, "ground", tiny_run, _image(tiny_dataset), "… !")


def test_a_folder_that_is_not_a_run_and_a_run_of_a_newer_version(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "unboxed fit" in _fails(capsys, "ground", tmp_path, _image(tiny_dataset), "a box")
    newer = tmp_path / "newer"
    shutil.copytree(tiny_run, newer)
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps(config | {"version": 99}))
    assert "pip install -U unboxed" in _fails(capsys, "ground", newer, _image(tiny_dataset), "a box")


def test_a_store_made_with_other_settings(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    main(["regions", str(tiny_dataset), "--out", str(store), "--grid", "2"])
    assert "grid: 2 there, 3 here" in _fails(capsys, "regions", tiny_dataset, "--out", store, "--grid", "3")
    line = _fails(capsys, "evaluate", tiny_run, "--data", tiny_dataset, "--split", "val", "--regions", store)
    assert "Leave out --regions" in line


def test_a_detector_of_an_unknown_layout(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    picture = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    output = onnx.helper.make_tensor_value_info("mystery", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["mystery"])], "g", [picture], [output]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "detector.onnx")
    store = tmp_path / "store"
    line = _fails(capsys, "regions", tiny_dataset, "--out", store, "--detector", tmp_path / "detector.onnx")
    assert "mystery" in line
    assert not store.exists()


def test_a_bad_image_in_a_dataset_is_skipped_and_named_or_stops_a_strict_run(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_dataset.parent, folder)
    broken = folder / "photos" / "7.png"
    broken.write_bytes(broken.read_bytes()[:90])
    main(["regions", str(folder / "data.toml"), "--out", str(tmp_path / "store"), "--grid", "2"])
    assert "7.png" in capsys.readouterr().err
    line = _fails(capsys, "regions", folder / "data.toml", "--out", tmp_path / "strict", "--grid", "2", "--strict")
    assert "7.png" in line
