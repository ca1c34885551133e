"""Checkpoints are read as tensors and plain values, whoever wrote them; nothing in them is run."""

from __future__ import annotations

import argparse
import builtins
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.convert import read_checkpoint
from unboxed.convert.checkpoint import check_names
from unboxed.errors import ModelError

from .originals import SCAN_OPTIONS, Python2, linear_state, save, text_state


@pytest.mark.parametrize("kind", ["zip", "legacy", "python 2"])
def test_files_of_every_version_are_read(tmp_path: Path, kind: str) -> None:
    parts = [linear_state("fc", 4, 6), text_state(9, 3, 4)]
    how: dict[str, Any] = {} if kind == "zip" else {"_use_new_zipfile_serialization": False}
    if kind == "python 2":
        how["pickle_module"] = Python2
    checkpoint = read_checkpoint(save(tmp_path / "model_best.pth.tar", parts, SCAN_OPTIONS, **how))
    assert checkpoint.parts == 2
    assert checkpoint.options() == SCAN_OPTIONS
    tensors = checkpoint.tensors()
    assert set(tensors) == {f"model[{i}].{name}" for i, part in enumerate(parts) for name in part}
    assert torch.equal(tensors["model[1].embed.weight"], parts[1]["embed.weight"])
    assert checkpoint.option("cross_attn") == "t2i"


class _Runs:
    """Its pickle calls a function when Python loads it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def _hostile(mark: Path) -> dict[str, Any]:
    """Values that would write the file `mark`."""
    write = f"open({str(mark)!r}, 'w').close()"
    return {
        "os.system": _Runs(os.system, f"touch {mark}"),
        "exec": _Runs(builtins.exec, write),
        "eval": _Runs(builtins.eval, write),
        "getattr": _Runs(getattr, "text", "upper"),
        "open": _Runs(open, str(mark), "w"),
        "torch.load": _Runs(torch.load, str(mark)),
        "inside the options": argparse.Namespace(cross_attn=_Runs(builtins.exec, write)),
        "a constructor": _Runs(argparse.FileType("w"), str(mark)),
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", _hostile(Path("mark")))
def test_nothing_that_a_checkpoint_asks_for_is_run(tmp_path: Path, name: str, legacy: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / "model_best.pth.tar"
    torch.save(
        {"model": [linear_state("fc", 4, 6)], "opt": _hostile(mark)[name]},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(ModelError, match="cannot be read as a checkpoint of tensors and plain values") as raised:
        read_checkpoint(path)
    assert "weights_only" not in str(raised.value) and "safe_globals" not in str(raised.value)  # no way around it
    assert not mark.exists()


def test_a_bare_pickle_is_not_loaded_by_python(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.pt", tmp_path / "mark"
    path.write_bytes(pickle.dumps(_Runs(builtins.exec, f"open({str(mark)!r}, 'w').close()"), 2))
    with pytest.raises(ModelError, match="Nothing in it was run"):
        read_checkpoint(path)
    assert not mark.exists()


def test_options_cannot_replace_what_python_calls(tmp_path: Path) -> None:
    """Attributes of the options that are named like methods are values, and nothing calls them."""
    options = argparse.Namespace(__setstate__=1, __reduce__=2)
    torch.save({"model": [linear_state("fc", 4, 6)] * 2, "opt": options}, tmp_path / "m")
    assert read_checkpoint(tmp_path / "m").options()["__setstate__"] == 1


@given(st.binary(max_size=80))
def test_any_bytes_give_our_own_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "m"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="m "):
        read_checkpoint(path)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_an_error(tmp_path: Path, keep: float) -> None:
    path = save(tmp_path / "m", [linear_state("fc", 40, 60), text_state(9, 3, 4)], SCAN_OPTIONS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(
        ModelError, match=r"\(it is damaged, incomplete, or no file that `torch.save` wrote\).*Fetch it again"
    ):
        read_checkpoint(path)


def test_other_content_is_named(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "weights")
    torch.save({"model": [{"fc.weight": "text"}]}, tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(ModelError, match="holds a list; expected a dictionary"):
        read_checkpoint(tmp_path / "list")
    with pytest.raises(ModelError, match=r"neither a list `model`.*it holds weights"):
        read_checkpoint(tmp_path / "weights").tensors()
    with pytest.raises(ModelError, match=r"model\[0\].fc.weight is of type str"):
        read_checkpoint(tmp_path / "text").tensors()
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path / "zip")
    with pytest.raises(ModelError, match="There is no file"):
        read_checkpoint(tmp_path / "none")


def test_options_that_are_missing_or_unknown_are_named(tmp_path: Path) -> None:
    torch.save({"model": [linear_state("fc", 4, 6)], "opt": {"agg_func": "Median"}}, tmp_path / "m")
    checkpoint = read_checkpoint(tmp_path / "m")
    with pytest.raises(ModelError, match=r"does not say what the option `cross_attn`.*has agg_func"):
        checkpoint.option("cross_attn")
    with pytest.raises(ModelError, match="`agg_func` is 'Median'; known are 'Mean', 'Max'"):
        checkpoint.choice("agg_func", {"Mean": "mean", "Max": "max"})


def test_missing_and_additional_tensors_are_named() -> None:
    check_names(Path("m"), ["a", "b"], ["b", "a"], "SCAN")
    with pytest.raises(ModelError, match=r"m does not have the layout of SCAN: it lacks a; it also has c, d."):
        check_names(Path("m"), ["b", "d", "c"], ["a", "b"], "SCAN")
    with pytest.raises(ModelError, match=r"it lacks n0, n1, n2, n3, n4, n5 and 4 more."):
        check_names(Path("m"), [], [f"n{i}" for i in range(10)], "SCAN")
