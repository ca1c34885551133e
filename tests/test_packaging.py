"""What is not Python in the package goes into the wheel: pages, templates, models, word lists."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from unboxed.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]


def test_every_file_of_the_package_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["unboxed"]
    package = ROOT / "src" / "unboxed"
    taken = {file for pattern in patterns for file in package.glob(pattern)}
    files = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert files == taken
    assert {"model_card.md", "index.html", "review.html", "report.html", "py.typed"} <= {file.name for file in files}


def test_every_dependency_has_a_row_with_its_oldest_version_and_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| [^|]+ \| ([^|]+) \|$", page, flags=re.MULTILINE))
    listed = {(name, oldest) for name, oldest, _ in rows}
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for line in lines:
        parts = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line)
        assert parts, f"{line} has no oldest version"
        assert (parts[1].lower(), parts[2]) in listed, f"{line}: run `make dependencies`"
    copyleft = [name for name, _, licence in rows if "GPL" in licence or licence == "not read"]
    assert not copyleft


def test_the_package_without_pytorch_is_the_same_one_with_fewer_dependencies() -> None:
    whole, runtime = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
        for folder in (".", "packaging/runtime")
    )
    left_out = set(whole["project"]["dependencies"]) - set(runtime["project"]["dependencies"])
    assert {re.match(r"[\w-]+", line)[0] for line in left_out} == {"torch", "lightning-fabric"}  # type: ignore[index]
    assert set(runtime["project"]["dependencies"]) < set(whole["project"]["dependencies"])
    assert runtime["project"]["version"] == whole["project"]["version"]
    assert runtime["tool"]["setuptools"]["package-data"] == whole["tool"]["setuptools"]["package-data"]


_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning_fabric"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_grounding_with_an_export_imports_no_pytorch() -> None:
    """That a whole export works so is a test of `unboxed.export.onnx`; here PyTorch cannot be imported at all."""
    program = """
from PIL import Image
from unboxed import Caption
from unboxed.data import open_image
from unboxed.export.exported_model import Exported
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.text.phrases import noun_phrases
image = Image.new("RGB", (64, 48), "red")
print(len(RegionExtractor(RegionSettings.weight_free())(image)) > 0, [p.text for p in noun_phrases("A dog.")])
"""
    done = subprocess.run([sys.executable, "-c", _WITHOUT + program], capture_output=True, text=True)
    assert done.stdout == "True ['A dog']\n", done.stderr


def test_a_command_that_needs_pytorch_says_so(tiny_run: Path, tiny_dataset: Path) -> None:
    arguments = ["ground", str(tiny_run), str(tiny_dataset.parent / "photos" / "1.png"), "a box"]
    program = f"{_WITHOUT}\nfrom unboxed.cli import main\nmain({arguments!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0), done.stderr
    assert "This needs torch: pip install unboxed" in done.stderr


def test_the_completion_of_a_shell_knows_the_options_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tyro-print-completion", "bash"])
    script = capsys.readouterr().out
    assert all(word in script for word in ("--min-confidence", "--detector", "--split", *COMMANDS))


def test_the_completion_of_a_shell_that_tyro_does_not_write_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--tyro-print-completion", "tcsh"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: Completion is written for bash and zsh: unboxed --tyro-print")


def test_the_container_takes_no_rights_and_only_the_package() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert lines.index("USER unboxed") < next(i for i, line in enumerate(lines) if line.startswith("CMD"))
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    assert set(copied) == kept and all((ROOT / name).exists() for name in copied)


def test_every_test_that_the_table_of_threats_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) >= 12
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
