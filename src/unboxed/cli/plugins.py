"""`--plugin FILE`, an option of every command: recipes of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from unboxed.errors import UnboxedError

__all__ = ["without_plugins"]


def without_plugins(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--plugin FILE`; the files are named to `recipes.plugins` and to child processes.

    Raises:
        UnboxedError: no file after `--plugin`, or one that does not exist.
    """
    kept: list[str] = []
    files: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--plugin":
            kept.append(word)
            continue
        file = Path(value if equals else next(words, ""))
        if not file.is_file():
            raise UnboxedError(f"--plugin names a Python file with recipes; there is no file {str(file)!r}.")
        files.append(str(file.resolve()))
    if files:
        from unboxed.recipes.plugins import ENVIRONMENT

        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = os.pathsep.join([*([before] if before else []), *files])
    return kept
