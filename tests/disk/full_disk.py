"""Runs commands on a small disk that is full after some bytes, makes room, repeats them, and compares all files.

    sudo python tests/disk/full_disk.py --levels 21

mounts a memory file system (Linux, as root) whose space grows from nothing to just below what a command writes. The
command ends with status 2 and a line that says so, without a traceback. Files that were there before are as they were.
With enough space the same command then ends well and leaves the files of an undisturbed one.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

_HEADROOM = 64 << 20


def _kill_commands() -> ModuleType:
    """The commands and the comparison of files of tests/kill."""
    path = Path(__file__).resolve().parents[1] / "kill" / "kill_commands.py"
    spec = importlib.util.spec_from_file_location("kill_commands", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _mount(disk: Path, size: int, again: bool = False) -> None:
    options = f"size={max(size, 4096)}"  # 0 is no limit
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"remount,{options}" if again else options, "tmpfs", str(disk)], check=True
    )


def fill_once(kill: ModuleType, world: Any, name: str, expected: dict[str, bytes], size: int) -> list[str]:
    """Runs a command on a disk of `size` bytes, repeats it with more, and returns what is wrong."""
    disk = Path(tempfile.mkdtemp(dir=world.folder))
    _mount(disk, size)
    try:
        out, wrong = disk / "out", []
        out.mkdir()
        log = world.folder / f"{disk.name}.log"
        code = world.start(name, out, log=log).wait()
        printed = log.read_text()
        if "Traceback" in printed or code not in (0, 2) or (code == 2 and "error: " not in printed):
            wrong.append(f"status {code}: {printed[-300:]}")
        wrong += [f"half-written {file}" for file in kill.unreadable(out)]
        _mount(disk, _HEADROOM, again=True)
        if world.start(name, out, log=log).wait() != 0:
            wrong.append(f"the repeated command failed: {log.read_text()[-300:]}")
        found = kill.content(out)
        wrong += [f"{file} is left over" for file in found.keys() - expected.keys()]
        wrong += [f"{file} is missing" for file in expected.keys() - found.keys()]
        wrong += [f"{file} differs" for file in found.keys() & expected.keys() if found[file] != expected[file]]
        return wrong
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(levels: int, names: list[str] | None = None) -> tuple[int, list[str]]:
    """Runs every command at so many levels of free space; returns how many runs there were, and a line a failure."""
    kill = _kill_commands()
    runs, failures = 0, []
    with tempfile.TemporaryDirectory() as folder:
        world = kill.World(Path(folder) / "world")
        for name in names or list(world.commands):
            disk = Path(tempfile.mkdtemp(dir=world.folder))
            _mount(disk, _HEADROOM)
            try:
                (disk / "out").mkdir()
                if world.start(name, disk / "out", log=disk / "log").wait() != 0:
                    raise RuntimeError((disk / "log").read_text())
                (disk / "log").unlink()
                expected = kill.content(disk / "out")
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=True)
            needed = sum(len(content) for content in expected.values())
            for level in range(levels):
                wrong = fill_once(kill, world, name, expected, needed * level // levels)
                runs += 1
                failures += [f"{name}, level {level}: {line}" for line in wrong]
                for line in wrong:
                    print(f"{name}, {needed * level // levels} bytes: {line}", flush=True)
    return runs, failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, default=21)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    made, wrong = fill(options.levels, options.only)
    print(f"{made} full disks, {len(wrong)} failures")
    raise SystemExit(bool(wrong))
