"""Kills commands with SIGKILL, at a random moment or right at a rename, repeats them, and compares all files.

    python tests/kill/kill_commands.py --kills 300 --seed 0

makes a small drawn world, runs every command once undisturbed, and then kills it again and again in a fresh folder.
After a kill, every file that a reader may open is complete. The repeated command ends well, leaves the bytes of the
undisturbed one, and leaves no temporary file and no lock. One line is printed for each failure, and one with the counts
at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

# In the killed process: SIGKILL at the rename of this number, before it or after it.
_HOOK = """
import os, signal
_left = [int(os.environ.pop("KILL_AT_RENAME", "0"))]
def _wrapped(rename):
    def replace(*names, **more):
        _left[0] -= 1
        if _left[0] == 0 and os.environ["KILL_WHEN"] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = rename(*names, **more)
        if _left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return replace
if _left[0]:
    os.replace, os.rename = _wrapped(os.replace), _wrapped(os.rename)
"""
_TIMES = re.compile(r'"(seconds|waiting|since|rate)": [0-9.e-]+')  # measured, so they differ between equal runs
_FIT = ["--epochs", "1", "--images-per-batch", "6", "--checkpoint-steps", "2"]


class World:
    """A drawn world with a run and a store, and the commands that are killed.

    Attributes:
        commands: by name, the arguments of `unboxed`, with OUT for the path that is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data, run, store = folder / "world" / "data.toml", folder / "run", folder / "store"
        self._hook = folder / "hook"
        self._hook.mkdir(parents=True)
        (self._hook / "sitecustomize.py").write_text(_HOOK)
        self._run("scenes", str(folder / "world"), "--train", "16", "--val", "4", "--test", "4")
        self._run("regions", str(data), "--out", str(store))
        common = ["--data", str(data), "--regions", str(store)]
        self._run("fit", "vse", *common, "--out", str(run), "--negatives", "none", *_FIT)
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

    def _run(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "unboxed", *arguments], check=True, capture_output=True)

    def start(self, name: str, out: Path, log: Path | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """The command in a process of its own; what it prints goes to `log`, by default `OUT.log`."""
        paths = os.pathsep.join([str(self._hook), *filter(None, [os.environ.get("PYTHONPATH")])])
        arguments = [text.replace("OUT", str(out)) for text in self.commands[name]]
        with (log or out.with_suffix(".log")).open("wb") as printed:
            return subprocess.Popen(
                [sys.executable, "-m", "unboxed", *arguments],
                stdout=printed,
                stderr=printed,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
            )


def content(out: Path) -> dict[str, bytes]:
    """The files below a folder by name, without measured times and the paths of the folder itself."""
    found = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        read = file.read_bytes()
        if file.suffix in (".json", ".jsonl", ".md", ".html"):
            read = _TIMES.sub("", read.decode()).replace(str(out), "OUT").encode()
        found[file.relative_to(out).as_posix()] = read
    return found


def unreadable(out: Path) -> list[str]:
    """Files under their final names that are not complete."""
    from safetensors import safe_open

    found = []
    for file in (path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")):
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


def _watched(process: subprocess.Popen[bytes], out: Path, seconds: float = float("inf")) -> list[str]:
    """Reads all files again and again while a process writes them, and returns those that were not complete."""
    wrong, end = [], time.monotonic() + seconds
    while process.poll() is None and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.2, left))
        wrong += [f"seen half-written: {file}" for file in unreadable(out)]
    return wrong


def kill_once(world: World, name: str, rng: random.Random, expected: dict[str, bytes], seconds: float) -> list[str]:
    """Kills a command once, repeats it, and returns what is wrong."""
    out = Path(tempfile.mkdtemp(dir=world.folder)) / "out"
    out.mkdir()
    if rng.random() < 0.5:
        when = {"KILL_AT_RENAME": str(rng.randint(1, 12)), "KILL_WHEN": rng.choice(["before", "after"])}
        wrong = _watched(world.start(name, out, **when), out)
    else:
        process = world.start(name, out)
        wrong = _watched(process, out, rng.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
    wrong += [f"half-written {file}" for file in unreadable(out)]
    again = world.start(name, out)
    wrong += _watched(again, out)
    if again.wait() != 0:
        wrong.append(f"the repeated command failed: {out.with_suffix('.log').read_text()[-300:]}")
    found = content(out)
    wrong += [f"{file} is left over" for file in found.keys() - expected.keys()]
    wrong += [f"{file} is missing" for file in expected.keys() - found.keys()]
    wrong += [f"{file} differs" for file in found.keys() & expected.keys() if found[file] != expected[file]]
    shutil.rmtree(out.parent)
    return wrong


def kill(kills: int, seed: int, names: list[str] | None = None) -> tuple[int, list[str]]:
    """Kills the commands in turn.

    Returns:
        How many kills were made, and a line for each failure.
    """
    rng, failures = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "kill")
        undisturbed: dict[str, tuple[dict[str, bytes], float]] = {}
        for number in range(kills):
            name = (names or list(world.commands))[number % len(names or world.commands)]
            if name not in undisturbed:
                out = Path(tempfile.mkdtemp(dir=world.folder)) / "out"
                out.mkdir()
                started = time.monotonic()
                if world.start(name, out).wait() != 0:
                    raise RuntimeError(out.with_suffix(".log").read_text())
                undisturbed[name] = content(out), time.monotonic() - started
            wrong = kill_once(world, name, rng, *undisturbed[name])
            failures += [f"{name}: {line}" for line in wrong]
            for line in wrong:
                print(f"kill {number}, {name}: {line}", flush=True)
    return kills, failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    made, wrong = kill(options.kills, options.seed, options.only)
    print(f"{made} kills, {len(wrong)} failures")
    raise SystemExit(bool(wrong))
