"""The command line as a whole: its help, its JSON, and its errors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unboxed.cli
from unboxed.cli import COMMANDS, main, recipe_commands
from unboxed.errors import RegionsError, UnboxedError
from unboxed.recipes import RECIPES
from unboxed.regions.settings import ImportedRegions


@pytest.mark.parametrize("command", [*COMMANDS, *(f"fit {recipe}" for recipe in RECIPES)])
def test_the_help_names_no_value_and_no_module_of_python(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--option None` cannot be written, so that the help describes what holds by default."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "None:" not in words and "None." not in words.replace("(default: None)", "")
    assert not re.search(r"`(attention|data|evaluation|inference|objectives|regions|runtime|training)\.\w+`", words)


def test_commands_that_a_message_names_with_an_option_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RegionsError) as refused:
        ImportedRegions(imported="scan").require_extractable()
    (named,) = re.findall(r"\(--regions STORE of ([^)]+)\)", str(refused.value))
    for command in re.findall(r"`(\w+)`", named):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "--regions PATH" in capsys.readouterr().out


def test_the_commands_are_these() -> None:
    assert list(COMMANDS) == [
        "demo", "init", "scenes", "regions", "merge", "import", "fit", "convert", "evaluate", "compare", "calibrate",
        "ground", "audit", "label", "export", "index", "search", "studio", "cache", "doctor", "cite", "bench",
    ]  # fmt: skip
    assert list(recipe_commands()) == list(RECIPES)
    recipes = {"infoground", "ckd", "sprm", "npair", "scan", "bfan", "pfan", "sgr", "saf", "vse"}
    assert set(RECIPES) == recipes


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("label photos", "label` needs --run PATH and --out PATH. More: unboxed label --help"),
        ("fit ckd --out run", "fit ckd` needs --data PATH. More: unboxed fit ckd --help"),
        ("label --json --nope", "label` needs IMAGES. More: unboxed label --help"),
        ("ground", "ground` needs RUN and IMAGE. More: unboxed ground --help"),
        (
            "label photos --run r --out o --min-scor 1",
            "label` has no option --min-scor (did you mean --min-score?). More: unboxed label --help",
        ),
        (
            "audit x --rnu r",
            "audit` needs --run PATH, and has no option --rnu (did you mean --run?). More: unboxed audit --help",
        ),
        ("export run more --out o", "export` takes no further argument, such as 'more'. More: unboxed export --help"),
        ("fit --data x --out r --epochs ten", "fit` takes --epochs INT, and not 'ten'. More: unboxed fit --help"),
        ("fit --data x --out r --epochs", "fit` needs a value after --epochs INT. More: unboxed fit --help"),
        (
            "import x --features f --format csv --out o",
            "import` has no --format csv; it is scan, tsv, hdf5 or maf. More: unboxed import --help",
        ),
    ],
)
def test_a_missing_or_misspelt_option_and_a_bad_value_are_named_in_one_line(
    arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: `unboxed {error}\n"


def test_an_option_before_the_command_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--json", "doctor"])
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.count("\n") == 1
    assert line.startswith("error: The first word is a command, and not --json; options come after it")


def test_the_help_lists_the_commands_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    pages = []
    for arguments in (["--help"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1] and len(pages[0].splitlines()) < 62
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
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. Finished work is kept; repeat the command to go on, `fit` with --resume.\n",
        ),
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


def test_a_dataset_with_an_unknown_key_or_a_missing_path(tmp_path: Path, error_line: Callable[..., str]) -> None:
    data = tmp_path / "data.toml"
    data.write_text('format = "table"\nimagse = "photos"\n')
    assert "images" in error_line("fit", "infoground", "--data", data, "--out", tmp_path / "run")
    data.write_text('format = "table"\nimages = "."\nannotations = "none.csv"\n')
    assert "none.csv" in error_line("fit", "infoground", "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_store_made_with_other_settings(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]
) -> None:
    store = tmp_path / "store"
    main(["regions", str(tiny_dataset), "--out", str(store), "--grid", "2"])
    assert "grid: 2 there, 3 here" in error_line("regions", tiny_dataset, "--out", store, "--grid", "3")
    line = error_line("evaluate", tiny_run, "--data", tiny_dataset, "--split", "val", "--regions", store)
    assert "Leave out --regions" in line


def test_a_detector_of_an_unknown_layout(tiny_dataset: Path, tmp_path: Path, error_line: Callable[..., str]) -> None:
    onnx = pytest.importorskip("onnx")
    picture = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    output = onnx.helper.make_tensor_value_info("mystery", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["mystery"])], "g", [picture], [output]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "detector.onnx")
    store = tmp_path / "store"
    line = error_line("regions", tiny_dataset, "--out", store, "--detector", tmp_path / "detector.onnx")
    assert "mystery" in line
    assert not store.exists()


def test_a_bad_image_in_a_dataset_is_skipped_and_named_or_stops_a_strict_run(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], error_line: Callable[..., str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_dataset.parent, folder)
    broken = folder / "photos" / "7.png"
    broken.write_bytes(broken.read_bytes()[:90])
    main(["regions", str(folder / "data.toml"), "--out", str(tmp_path / "store"), "--grid", "2"])
    assert "7.png" in capsys.readouterr().err
    line = error_line("regions", folder / "data.toml", "--out", tmp_path / "strict", "--grid", "2", "--strict")
    assert "7.png" in line
