"""Runs commands on a small disk that is full after some bytes, makes room, repeats them, and compares all files.

    sudo python tests/kill/full_disk.py --levels 21

mounts a memory file system (Linux, as root) whose space grows from nothing to just below what a command writes. The
command ends with status 2 and a line that says so, without a traceback. Files that were there before are as they were.
With enough space the same command then ends well and leaves the files of an undisturbed one.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import World, content, differences, finished, unreadable

_HEADROOM = 64 << 20


def _mount(disk: Path, size: int, again: bool = False) -> None:
    options = f"size={max(size, 4096)}"  # 0 is no limit
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"remount,{options}" if again else options, "tmpfs", str(disk)], check=True
    )


@contextmanager
def _small_disk(world: World, size: int) -> Iterator[Path]:
    disk = Path(tempfile.mkdtemp(dir=world.folder))
    _mount(disk, size)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill_once(world: World, name: str, expected: dict[str, bytes], size: int) -> list[str]:
    """Runs a command on a disk of `size` bytes, repeats it with more, and returns what is wrong."""
    with _small_disk(world, size) as disk:
        out, log, wrong = disk / "out", world.folder / f"{disk.name}.log", []
        out.mkdir()
        status, printed = finished(world.start(name, out, log), log)
        if "Traceback" in printed or status not in (0, 2) or (status == 2 and "error: " not in printed):
            wrong.append(f"status {status}: {printed[-300:]}")
        wrong += [f"half-written {file}" for file in unreadable(out)]
        _mount(disk, _HEADROOM, again=True)
        status, printed = finished(world.start(name, out, log), log)
        if status != 0:
            wrong.append(f"the repeated command failed: {printed[-300:]}")
        return wrong + differences(content(out), expected)


def fill(levels: int, names: list[str] | None = None) -> tuple[int, list[str]]:
    """Runs every command at so many levels of free space; returns how many runs there were, and a line a failure."""
    runs, failures = 0, []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world")
        for name in names or list(world.commands):
            with _small_disk(world, _HEADROOM) as disk:
                (disk / "out").mkdir()
                expected = world.undisturbed(name, disk / "out")
            needed = sum(len(content) for content in expected.values())
            for level in range(levels):
                wrong = fill_once(world, name, expected, needed * level // levels)
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
