"""What `unboxed.attention` exports: the example of its docstring runs, every attention is there, nothing slow loads."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import unboxed.attention
from unboxed.attention import Aligner

MODULES = sorted(
    path.stem
    for path in Path(unboxed.attention.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "triton_kernels")  # which can be imported only with triton
)


def test_the_example_runs() -> None:
    result = doctest.testmod(unboxed.attention)
    assert result.attempted > 0 and result.failed == 0


def test_every_attention_is_exported() -> None:
    found = {
        name
        for module in MODULES
        for name, value in inspect.getmembers(import_module(f"unboxed.attention.{module}"), inspect.isclass)
        if issubclass(value, Aligner) and value.__module__ == f"unboxed.attention.{module}"
    }
    assert found <= set(unboxed.attention.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_exists(module: str) -> None:
    loaded = import_module(f"unboxed.attention.{module}")
    assert all(hasattr(loaded, name) for name in loaded.__all__)


def test_importing_the_package_or_its_ranking_loads_no_torch() -> None:
    code = "import sys, unboxed.attention.ranking, unboxed.objectives; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
