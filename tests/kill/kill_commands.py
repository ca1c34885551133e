"""Kills commands with SIGKILL, at a random moment or right at a rename, repeats them, and compares all files.

    python tests/kill/kill_commands.py --kills 300 --seed 0

makes a small drawn world, runs every command once undisturbed, and then kills it again and again in a fresh folder.
After a kill, every file that a reader may open is complete. The repeated command ends well, leaves the bytes of the
undisturbed one, and leaves no temporary file and no lock. One line is printed for each failure, and one with the counts
at the end.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from commands import RenameKill, World, content, differences, finished, unreadable, watched


def kill_once(
    world: World, name: str, rng: random.Random, expected: dict[str, bytes], seconds: float | None
) -> list[str]:
    """Kills a command once, repeats it, and returns what is wrong.

    It is killed at a rename, or within the seconds that it takes; without these always at a rename.
    """
    out = world.new_folder()
    log = out.with_suffix(".log")
    if seconds is None or rng.random() < 0.5:
        process = world.start(name, out, log, RenameKill(rng.randint(1, 12), rng.random() < 0.5))
        wrong = watched(process, out)
    else:
        process = world.start(name, out, log)
        wrong = watched(process, out, rng.uniform(0, seconds))
        process.kill()
        process.join()
    wrong += [f"half-written {file}" for file in unreadable(out)]
    again = world.start(name, out, log)
    wrong += watched(again, out)
    status, printed = finished(again, log)
    if status != 0:
        wrong.append(f"the repeated command failed: {printed[-300:]}")
    wrong += differences(content(out), expected)
    shutil.rmtree(out.parent)
    return wrong


def _undisturbed(world: World, name: str) -> tuple[dict[str, bytes], float]:
    """The files of a command, and the seconds that it takes in a process of its own."""
    expected, out = world.undisturbed(name, world.new_folder()), world.new_folder()
    started = time.monotonic()
    status, printed = finished(world.start(name, out, out.with_suffix(".log")), out.with_suffix(".log"))
    if status != 0 or (wrong := differences(content(out), expected)):
        raise RuntimeError(f"{name}, undisturbed: {printed if status else wrong}")
    return expected, time.monotonic() - started


def kill(kills: int, seed: int, names: list[str] | None, renames: bool) -> tuple[Counter[str], list[str]]:
    """Kills the commands in turn; with `renames` always at a rename, so that the same is killed in every call.

    Returns:
        How many kills were made of each command, and a line for each failure.
    """
    rng, made, failures = random.Random(seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "kill")
        expected = {name: _undisturbed(world, name) for name in names or world.commands}
        for number in range(kills):
            name = list(expected)[number % len(expected)]
            files, seconds = expected[name]
            wrong = kill_once(world, name, rng, files, None if renames else seconds)
            made[name] += 1
            failures += [f"{name}: {line}" for line in wrong]
            for line in wrong:
                print(f"kill {number}, {name}: {line}", flush=True)
    return made, failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--renames", action="store_true")
    options = parser.parse_args()
    made, wrong = kill(options.kills, options.seed, options.only, options.renames)
    print(
        f"{made.total()} kills, {len(wrong)} failures; {', '.join(f'{count} {name}' for name, count in made.items())}"
    )
    raise SystemExit(bool(wrong))
