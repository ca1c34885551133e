"""A run in the place of images, or images in its place: the error names the right call."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.cli.argument_order import require_order
from unboxed.errors import UnboxedError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `run` with the configuration of a run, and a folder `photos`."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "config.json").write_text('{"recipe": "ckd"}')
    (tmp_path / "photos" / "config.json").write_text("[]")  # not that of a run


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("ground photos run dog", "ground run photos dog"),
        ("ground photos run 'a red dog' --json", "ground run photos 'a red dog' --json"),
        ("index photos run --out index", "index run photos --out index"),
        ("index run --data photos --out index", "index run photos --out index"),
        ("index --images photos --out index --run run", "index run photos --out index"),
        ("ground dog.jpg 'a dog' --run run --json", "ground run dog.jpg 'a dog' --json"),
        ("label run --run photos --out o.json", "label photos --run run --out o.json"),
        ("label run photos --out o.json", "label photos --run run --out o.json"),
        ("label photos run --out o.json", "label photos --run run --out o.json"),
        ("audit run --top 3 --run photos", "audit photos --run run --top 3"),
        ("evaluate photos --data run", "evaluate run --data photos"),
        ("evaluate run photos --json", "evaluate run --data photos --json"),
        ("studio photos --images run", "studio run --images photos"),
        ("studio run photos", "studio run --images photos"),
        ("fit photos --out run2", "fit --data photos --out run2"),
    ],
)
@pytest.mark.usefixtures("places")
def test_swapped_arguments_are_recognised(given: str, right: str, error_line: Callable[..., str]) -> None:
    assert error_line(*shlex.split(given)).endswith(f": unboxed {right}")
    command, *args = shlex.split(right)
    require_order(command, args)


def test_a_folder_with_the_name_of_a_recipe_is_not_the_data_of_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan").mkdir()
    monkeypatch.chdir(tmp_path)
    require_order("fit", ["scan", "--data", "photos", "--out", "scan"])


@pytest.mark.usefixtures("places")
def test_a_run_is_not_an_index() -> None:
    with pytest.raises(UnboxedError, match=r"run is a run, and not an index .*: unboxed index run IMAGES --out INDEX"):
        require_order("search", ["run", "a dog"])


@pytest.mark.parametrize("args", [[], ["run"], ["run", "run"], ["photos", "photos"], ["gone", "gone", "a"], ["--data"]])
@pytest.mark.parametrize("command", ["ground", "index", "label", "audit", "evaluate", "studio", "fit", "doctor"])
@pytest.mark.usefixtures("places")
def test_other_arguments_are_left_to_the_command(command: str, args: list[str]) -> None:
    if (command, args) != ("fit", ["run"]):
        require_order(command, args)
