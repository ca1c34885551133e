"""Threads of PyTorch that wait for each other soon sleep, unless the user has decided otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from unboxed.runtime.openmp import limit_spinning

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_COMMAND = """
import json, os, sys
from unboxed.cli import main
main(["--version"])
print(json.dumps([os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")] + ["torch" in sys.modules]))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, ["PASSIVE", "1000", False]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None, False]),
        ({"GOMP_SPINCOUNT": "7"}, [None, "7", False]),
    ],
)
def test_a_command_limits_spinning_before_pytorch_is_imported(before: dict[str, str], after: list[object]) -> None:
    others = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    ran = subprocess.run([sys.executable, "-c", _COMMAND], env={**others, **before}, check=True, stdout=subprocess.PIPE)
    assert json.loads(ran.stdout.splitlines()[-1]) == after


def test_the_environment_of_a_child_process_can_be_prepared() -> None:
    environment = {"PATH": "/bin"}
    limit_spinning(environment)
    assert environment == {"PATH": "/bin", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
