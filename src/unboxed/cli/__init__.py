"""The command line. A verb is a function of a file here whose work lies elsewhere; heavy imports wait until it runs."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence

import tyro

from unboxed import __version__
from unboxed.cli.data import import_features, regions, scenes
from unboxed.cli.doctor import doctor
from unboxed.cli.init import init
from unboxed.cli.label import export, label
from unboxed.cli.learn import compare, demo, evaluate, fit_by_default, recipe_verbs
from unboxed.cli.search import index, search
from unboxed.cli.studio import studio
from unboxed.cli.tools import bench
from unboxed.cli.use import ground
from unboxed.errors import UnboxedError

__all__ = ["main", "recipe_verbs"]

_HELP = (tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName)
_DESCRIPTION = """Learn from captions alone which region of an image each phrase means.
`unboxed COMMAND --help` tells of each command. From a folder of images with captions to search and boxes:

  unboxed fit --data photos --out run
  unboxed index run photos --out index
  unboxed search index "a man holding a guitar" --save found.png
  unboxed label photos --run run --out coco.json"""


def fit() -> None:
    """Train on a dataset's captions: `unboxed fit --data photos.csv --out RUN`, or `unboxed fit RECIPE …`."""


VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "init": init,
    "scenes": scenes,
    "regions": regions,
    "import": import_features,
    "fit": fit,
    "evaluate": evaluate,
    "compare": compare,
    "ground": ground,
    "label": label,
    "export": export,
    "index": index,
    "search": search,
    "studio": studio,
    "doctor": doctor,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `unboxed` with the given arguments; those of the process by default."""
    # Threads that wait must not take the cores from those that work: on a shared machine that is ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if args == ["--version"]:
            print(f"unboxed {__version__}")
        elif args[:1] == ["fit"]:
            _fit(args[1:])
        else:
            _refuse_unknown("command", args[:1], VERBS)
            verbs = (
                VERBS if args[:1] and not args[0].startswith("-") else {n: _brief(verb) for n, verb in VERBS.items()}
            )
            tyro.extras.subcommand_cli_from_dict(
                verbs, prog="unboxed", description=_DESCRIPTION, args=args or ["--help"], config=_HELP
            )
    except UnboxedError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # as of `unboxed … --help | head`
        # What Python flushes at its end has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        print("Interrupted; what was finished is kept. `--resume` goes on with a fit.", file=sys.stderr)
        raise SystemExit(130) from None


def _fit(args: list[str]) -> None:
    """`unboxed fit`, with or without a recipe; the recipes are loaded only where one is named, or help is asked for."""
    if not args:
        raise UnboxedError("Nothing to train on: unboxed fit --data photos.csv --out run. More: unboxed fit --help")
    if args[0].startswith("-"):
        about = None
        if {"-h", "--help"} & set(args):
            names = "\n".join(f"  {name:<11} {_first_line(verb)}" for name, verb in recipe_verbs().items())
            about = f"{_first_line(fit_by_default)}\n\nunboxed fit RECIPE … has options of its own. Recipes:\n{names}"
        tyro.cli(fit_by_default, prog="unboxed fit", description=about, args=args, config=_HELP)
        return
    verbs = recipe_verbs()
    _refuse_unknown("recipe", args[:1], verbs)
    tyro.cli(verbs[args[0]], prog=f"unboxed fit {args[0]}", args=args[1:], config=_HELP)


def _brief(verb: Callable[..., None]) -> Callable[..., None]:
    """What the list of all verbs has of one: the first line of its help, and no options."""

    def shown() -> None: ...

    shown.__doc__ = _first_line(verb)
    return shown


def _first_line(verb: Callable[..., None]) -> str:
    return (verb.__doc__ or "").strip().splitlines()[0]


def _refuse_unknown(what: str, given: Sequence[str], known: Iterable[str]) -> None:
    """Name what was probably meant; tyro answers a wrong name with the whole help."""
    known = list(known)
    for name in given:
        if not name.startswith("-") and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise UnboxedError(f"There is no {what} {name!r}; {meant}Known are {', '.join(known)}.")
