"""Renamed options: the old name does what the new one does, and prints a warning."""

from __future__ import annotations

import pytest

from unboxed.cli import COMMANDS, main
from unboxed.cli.renamed import RENAMED_OPTIONS, replace_renamed_options
from unboxed.errors import UnboxedError

RENAMED = [(command, old, new) for command, options in RENAMED_OPTIONS.items() for old, new in options.items()]


@pytest.mark.parametrize(("command", "old", "new"), [names for names in RENAMED if " " not in names[2]])
def test_the_old_name_is_replaced_with_a_warning(
    command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [command, "run", old, "value", f"{old}=value", old.replace("-", "_").replace("__", "--", 1), "--out", "o"]
    assert replace_renamed_options(given) == [command, "run", new, "value", f"{new}=value", new, "--out", "o"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert (
        printed.err.splitlines()
        == [f"warning: {old} is now called {new}; the old name is removed in the next release."] * 3
    )


@pytest.mark.parametrize(("command", "old", "new"), RENAMED)
def test_the_help_has_the_new_name_only(command: str, old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command in COMMANDS
    with pytest.raises(SystemExit):
        main([command, "--help"])
    page = capsys.readouterr().out
    assert f"{new.split()[0]} " in page
    assert f"{old} " not in page


@pytest.mark.parametrize(("command", "old", "new"), RENAMED)
def test_both_names_at_once_are_refused(command: str, old: str, new: str) -> None:
    """The parser would use the last one alone; `--detectors a.onnx --detector b.onnx` used both files once."""
    name = new.split()[0]
    with pytest.raises(UnboxedError, match=f"{old} is the old name of {new}; give all values after one {name}"):
        replace_renamed_options([command, "run", old, "a", f"{name}=b"])


def test_a_switch_may_become_an_option_with_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["fit", "scan", "--tensorboard", "--out", "o"]
    assert replace_renamed_options(given) == ["fit", "scan", "--logger", "tensorboard", "--out", "o"]
    assert "--tensorboard is now called --logger tensorboard" in capsys.readouterr().err


def test_other_arguments_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([], ["--version"], ["ground", "run", "--photo", "a"], ["search", "index", "--image", "a.png"]):
        assert replace_renamed_options(given) == given
    assert capsys.readouterr().err == ""
