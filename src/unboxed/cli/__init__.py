"""The command line. A verb is a function of a file here whose work lies elsewhere; heavy imports wait until it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import tyro

from unboxed.cli.data import import_features, regions, scenes
from unboxed.cli.doctor import doctor
from unboxed.cli.label import export, label
from unboxed.cli.learn import compare, demo, evaluate, recipe_verbs
from unboxed.cli.studio import studio
from unboxed.cli.tools import bench
from unboxed.cli.use import ground
from unboxed.errors import UnboxedError

__all__ = ["main", "recipe_verbs"]

_DESCRIPTION = "Learn from captions alone which region of a photograph each phrase means."


def fit() -> None:
    """Train a recipe on a dataset's captions: `unboxed fit RECIPE --data DATA.toml --out RUN`."""


VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "scenes": scenes,
    "regions": regions,
    "import": import_features,
    "fit": fit,
    "evaluate": evaluate,
    "compare": compare,
    "ground": ground,
    "label": label,
    "export": export,
    "studio": studio,
    "doctor": doctor,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `unboxed` with the given arguments; those of the process by default."""
    # Threads that wait must not take the cores from those that work: on a shared machine that is ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if arguments is None else arguments)
    fitting = args[:1] == ["fit"]
    verbs, prog = (recipe_verbs(), "unboxed fit") if fitting else (VERBS, "unboxed")
    try:
        tyro.extras.subcommand_cli_from_dict(verbs, prog=prog, description=_DESCRIPTION, args=args[fitting:])
    except UnboxedError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("Interrupted; what was finished is kept. `--resume` goes on with a fit.", file=sys.stderr)
        raise SystemExit(130) from None
