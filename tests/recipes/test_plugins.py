"""A recipe of one's own is loaded from a file or an installed package, and is a recipe for every command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unboxed
from unboxed.cli import main
from unboxed.errors import RunError
from unboxed.recipes import RECIPES, plugins
from unboxed.recipes.plugins import find_recipe, known_recipes
from unboxed.runtime.progress import to_call

TOY = (Path(__file__).resolve().parents[1] / "assets" / "toy_recipe.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recipes, the environment and the modules are as before afterwards."""
    before = dict(RECIPES)
    monkeypatch.setattr(plugins, "_loaded", set())
    monkeypatch.setenv(plugins.ENVIRONMENT, "")
    yield
    RECIPES.clear()
    RECIPES.update(before)
    for name in [name for name in sys.modules if name.startswith("unboxed_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    return tmp_path / "toy.py"


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    RECIPES.pop("toy-plugin", None)
    plugins._loaded.clear()
    monkeypatch.setenv(plugins.ENVIRONMENT, "")


def test_a_file_is_a_recipe_for_every_command(
    toy: Path,
    tiny_world: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, store = map(str, tiny_world)
    with pytest.raises(SystemExit):
        main(["fit", "toy-plugin", "--help", "--plugin", str(toy)])
    assert "--margin FLOAT" in capsys.readouterr().out
    small = [
        "--joint-width",
        "8",
        "--embedding-width",
        "8",
        "--hidden-width",
        "4",
        "--epochs",
        "1",
        "--negatives",
        "none",
    ]
    run = str(tmp_path / "run")
    main(["fit", "toy-plugin", f"--plugin={toy}", "--data", data, "--regions", store, "--out", run, *small])
    next_command = capsys.readouterr().err.splitlines()[-1].partition("Next: ")[2]
    assert next_command == f"unboxed evaluate {run} --data {data} --split val --plugin {toy}"
    _forget(monkeypatch)
    main([*shlex.split(next_command)[1:], "--no-retrieval"])
    assert Path(run, "report-val.html").is_file()
    _forget(monkeypatch)
    main(["doctor", "--json"])
    assert to_call("doctor") == "unboxed doctor", "a command without plugins prints none"
    monkeypatch.setenv(plugins.ENVIRONMENT, str(toy))
    assert unboxed.load(run).config.options.margin == 0.5  # found again by its name
    code = f"import unboxed; print(unboxed.load({run!r}).config.recipe)"
    environment = {**os.environ, plugins.ENVIRONMENT: ""}
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "or name its file: --plugin FILE.py" in alone.stderr
    environment[plugins.ENVIRONMENT] = str(toy)
    inherited = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert inherited.stdout == "toy-plugin\n"


def test_an_installed_package_names_recipes_by_entry_points(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.rename(tmp_path / "my_toy.py")
    info = tmp_path / "my_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[unboxed.recipes]\ntoy-plugin = my_toy:Toy\nbroken = my_toy:Nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(known_recipes())[-1] == "toy-plugin"  # the broken one is left out of the list
    assert find_recipe("toy-plugin") is sys.modules["my_toy"].Toy
    with pytest.raises(RunError, match=r"'broken' of the entry point my_toy:Nothing cannot be loaded \(.*Nothing"):
        find_recipe("broken")
    assert find_recipe("nothing") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", r"defines no recipes; give it a dictionary such as `RECIPES = \{\"toy\": Toy\}`"),
        ("1 / 0", r"cannot be loaded \(ZeroDivisionError: division by zero\)"),
        ("RECIPES = {'toy': int}", r"'toy' of .* is no recipe; expected a subclass of unboxed\.recipes\.RecipeConfig"),
        ("from unboxed.recipes import VSE\nRECIPES = {'scan': VSE}", r"defines a recipe 'scan', and there is one"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused(
    tmp_path: Path, content: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text(content)
    monkeypatch.setenv(plugins.ENVIRONMENT, str(tmp_path / "bad.py"))
    with pytest.raises(RunError, match=message):
        find_recipe("toy-plugin")


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--plugin", "gone.py"], ["--plugin=gone.py"]):
        with pytest.raises(SystemExit):
            main(["fit", "scan", *arguments])
        assert "there is no file 'gone.py'" in capsys.readouterr().err


def test_files_of_one_name_are_two_plugins(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "toy.py"
    other.write_text(TOY.replace("toy-plugin", "other-plugin"), encoding="utf-8")
    monkeypatch.setenv(plugins.ENVIRONMENT, os.pathsep.join(map(str, (toy, other))))
    found = [known_recipes()[name] for name in ("toy-plugin", "other-plugin")]
    assert [sys.modules[recipe.__module__].__file__ for recipe in found] == [str(toy), str(other)]
