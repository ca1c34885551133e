"""Commands that are disturbed, in processes of their own, and the files that they leave.

A process is a fork of one that has imported everything, so that what is disturbed is the work of a command and not its
imports.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import pkgutil
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import unboxed
from unboxed.runtime import atomic

os.environ["UNBOXED_CACHE"] = "off"  # commands do their own work, and leave the cache of the user alone

_TIMES = re.compile(r'"(seconds|waiting|since|rate)": [0-9.e-]+')  # measured, so they differ between equal runs
_SLOW = ("onnxscript.optimizer", "onnxscript.rewriter", "torch.onnx._internal.exporter._core", "torch._dynamo")
"""Modules that `export` imports, beside those of the package."""
_FIT = ["--epochs", "1", "--images-per-batch", "6", "--checkpoint-steps", "2"]


class RenameKill(NamedTuple):
    """SIGKILL at the rename of this number, right before it or right after it."""

    number: int
    before: bool


class World:
    """A drawn world with a run and a store, and the commands that are disturbed.

    Attributes:
        folder: where everything is.
        commands: by name, the arguments of `unboxed`, with OUT for the path that is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data, run, store = folder / "world" / "data.toml", folder / "run", folder / "store"
        folder.mkdir(parents=True)
        self._finish("scenes", str(folder / "world"), "--train", "16", "--val", "4", "--test", "4")
        self._finish("regions", str(data), "--out", str(store))
        common = ["--data", str(data), "--regions", str(store)]
        self._finish("fit", "vse", *common, "--out", str(run), "--negatives", "none", *_FIT)
        fit = {
            "vse": ["--negatives", "none"],
            "ckd": ["--negatives", "random", "--prior", "semantic"],
            "infoground": ["--negatives", "lm"],
            "scan": ["--negatives", "none"],
        }
        self.commands: dict[str, list[str]] = {
            "regions": ["regions", str(data), "--out", "OUT"],
            **{
                f"fit {name}": ["fit", name, *common, "--out", "OUT", *_FIT, *more, "--resume"]
                for name, more in fit.items()
            },
            "index": ["index", str(run), str(data), "--regions", str(store), "--out", "OUT", "--recall", "0"],
            "label": ["label", str(data), "--run", str(run), "--regions", str(store), "--out", "OUT/boxes.json"],
            "compare": [
                "compare", "--data", str(data), "--regions", str(store), "--out", "OUT", "--seeds", "1",
                "--recipes", "vse --negatives none --epochs 1 --images-per-batch 6",
            ],
        }  # fmt: skip
        if find_spec("onnx") and find_spec("onnxscript"):
            self.commands["export"] = ["export", str(run), "--out", "OUT"]
        own = [module.name for module in pkgutil.walk_packages(unboxed.__path__, "unboxed.")]
        for name in (*own, *_SLOW):
            if not name.endswith("__main__"):
                with suppress(ModuleNotFoundError):  # of an extra
                    importlib.import_module(name)

    def _finish(self, *arguments: str) -> None:
        """Runs a command in a new interpreter, whose sets have another order."""
        made = subprocess.run([sys.executable, "-m", "unboxed", *arguments], capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f"unboxed {' '.join(arguments)}: {made.stderr}")

    def new_folder(self) -> Path:
        """An empty folder, named OUT, in a new one."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "out"
        out.mkdir()
        return out

    def _arguments(self, name: str, out: Path) -> list[str]:
        return [text.replace("OUT", str(out)) for text in self.commands[name]]

    def undisturbed(self, name: str, out: Path) -> dict[str, bytes]:
        """Runs a command in a new interpreter and returns its files."""
        self._finish(*self._arguments(name, out))
        return content(out)

    def start(self, name: str, out: Path, log: Path, kill: RenameKill | None = None) -> BaseProcess:
        """A command in a process of its own; what it prints goes to `log`."""
        process = multiprocessing.get_context("fork").Process(target=_run, args=(self._arguments(name, out), log, kill))
        process.start()
        return process


def _run(arguments: list[str], log: Path, kill: RenameKill | None) -> None:
    with log.open("wb") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    if kill is not None:
        _kill_at(kill)
    importlib.import_module("unboxed.cli").main(arguments)


def _kill_at(kill: RenameKill) -> None:
    left = [kill.number]

    def wrapped(rename: Callable[..., Any]) -> Callable[..., Any]:
        def replace(*names: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and kill.before:
                os.kill(os.getpid(), signal.SIGKILL)
            found = rename(*names, **more)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return replace

    os.replace, os.rename = wrapped(os.replace), wrapped(os.rename)
    atomic._exchange = wrapped(atomic._exchange)


def finished(process: BaseProcess, log: Path) -> tuple[int | None, str]:
    """The exit status of a process, which is waited for, and what it printed."""
    process.join()
    return process.exitcode, log.read_text(errors="replace")


def content(out: Path) -> dict[str, bytes]:
    """The files below a folder by name, without measured times and the paths of the folder itself."""
    found = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        read = file.read_bytes()
        if file.suffix in (".json", ".jsonl", ".md", ".html"):
            read = _TIMES.sub("", read.decode()).replace(str(out), "OUT").encode()
        found[file.relative_to(out).as_posix()] = read
    return found


def differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """A line for each file that is left over, missing or different."""
    wrong = [f"{file} is left over" for file in found.keys() - expected.keys()]
    wrong += [f"{file} is missing" for file in expected.keys() - found.keys()]
    return wrong + [f"{file} differs" for file in found.keys() & expected.keys() if found[file] != expected[file]]


def unreadable(out: Path) -> list[str]:
    """Files under their final names that are not complete."""
    from safetensors import safe_open

    found = []
    # os.walk, unlike rglob, goes on where a folder is removed or renamed meanwhile.
    for file in (Path(folder) / name for folder, _, names in os.walk(out) for name in names if name[0] != "."):
        try:
            if file.suffix == ".json":
                json.loads(file.read_text("utf-8"))
            elif file.suffix == ".safetensors":
                with safe_open(file, "numpy") as opened:
                    opened.keys()
        except FileNotFoundError:  # removed, or replaced together with its folder
            continue
        except Exception as error:  # whatever it is, the file is damaged
            found.append(f"{file.relative_to(out)}: {error!r}")
    return found


def watched(process: BaseProcess, out: Path, seconds: float = float("inf")) -> list[str]:
    """Reads all files again and again while a process writes them, and returns those that were not complete."""
    wrong, end = [], time.monotonic() + seconds
    while process.is_alive() and (left := end - time.monotonic()) > 0:
        process.join(min(0.2, left))
        wrong += [f"seen half-written: {file}" for file in unreadable(out)]
    return wrong
