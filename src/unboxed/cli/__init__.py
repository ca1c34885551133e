"""The command line: the commands of `unboxed`, and `main`, which runs them.

Each command is a function of a file in this folder, and its parameters are its options. Commands import slow packages
when they run, so that `unboxed --help` loads none of them.
"""

from __future__ import annotations

import difflib
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import tyro

from unboxed import __version__
from unboxed.cli import (
    audit,
    bench,
    cache,
    calibrate,
    cite,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    ground,
    import_features,
    index,
    init,
    label,
    merge,
    regions,
    scenes,
    search,
    studio,
)
from unboxed.cli.argument_order import require_order
from unboxed.cli.device_option import with_precision, with_resources
from unboxed.cli.environment import (
    environment_error,
    is_lack_of_memory,
    is_link_loop,
    refuse_devices,
    refused_by_the_system,
)
from unboxed.cli.fit import fit_by_default, recipe_command, recipe_commands
from unboxed.cli.plugins import without_plugins
from unboxed.cli.renamed import replace_renamed_options
from unboxed.cli.wrong_arguments import one_line_errors
from unboxed.errors import UnboxedError
from unboxed.runtime.openmp import limit_spinning
from unboxed.runtime.progress import shortened, show

__all__ = ["COMMANDS", "main", "recipe_commands"]

_CONFIG = (tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName)
_DESCRIPTION = """Find the image region of each phrase of a caption, with a model trained on captions alone.
`unboxed COMMAND --help` shows the options of a command. From a folder of images with captions to search and boxes:

  unboxed fit --data photos --out run
  unboxed index run photos --out index
  unboxed search index "a man holding a guitar" --save found.png
  unboxed label photos --run run --out coco.json"""


def fit() -> None:
    """Train a model on a dataset's captions: `unboxed fit --data photos.csv --out RUN`, or `unboxed fit RECIPE …`."""


_NARROWEST = 20  # columns

_LEFT_OUT = ("torch", "lightning_fabric")  # of unboxed-runtime, see packaging/runtime

_SHELLS = ("bash", "zsh")  # tyro needs another package for more

_PLUGIN = "`--plugin FILE.py`, for any command, adds recipes of your own (guide “Extending”)."

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": with_resources(demo.demo),
    "init": with_resources(init.init),
    "scenes": scenes.scenes,
    "regions": with_resources(regions.regions),
    "merge": merge.merge,
    "import": import_features.import_features,
    "fit": fit,
    "convert": convert.convert,
    "evaluate": with_resources(with_precision(evaluate.evaluate)),
    "compare": with_resources(compare.compare),
    "calibrate": with_resources(calibrate.calibrate),
    "ground": with_resources(with_precision(ground.ground)),
    "audit": with_resources(audit.audit),
    "label": with_resources(with_precision(label.label)),
    "export": export.export,
    "index": with_resources(with_precision(index.index)),
    "search": with_resources(with_precision(search.search)),
    "studio": with_resources(with_precision(studio.studio)),
    "cache": cache.cache,
    "doctor": doctor.doctor,
    "cite": cite.cite,
    "bench": bench.bench,
}
"""Every command by its name, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command of `unboxed`.

    Args:
        arguments: the arguments; by default those of the process.

    Raises:
        SystemExit: with code 2 after an error of the user, 130 after an interrupt, 141 after a closed pipe, 143 after
            SIGTERM.
    """
    limit_spinning()
    _prepare_streams()
    refuse_devices()
    try:
        try:
            with _ending_on_terminate():
                _run(replace_renamed_options(without_plugins(sys.argv[1:] if arguments is None else arguments)))
        finally:
            sys.stdout.flush()  # here, where a closed pipe is handled, and not when Python exits
    except UnboxedError as error:
        refused = refused_by_the_system(error)
        _fail(str(error) if refused is None else environment_error(refused))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _LEFT_OUT:
            raise
        _fail(f"This needs {error.name}: pip install unboxed. unboxed-runtime has it left out.")
    except (OSError, RecursionError, UnicodeError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            _leave_closed_pipe()
        _fail(environment_error(error))
    except RuntimeError as error:  # after RecursionError, which is one
        if not (is_lack_of_memory(error) or is_link_loop(error)):
            raise
        _fail(environment_error(error))
    except KeyboardInterrupt:
        show("Interrupted. Finished work is kept; repeat the command to go on, `fit` with --resume.")
        raise SystemExit(130) from None


def _fail(message: str) -> NoReturn:
    show(f"error: {shortened(message)}")
    raise SystemExit(2) from None


def _prepare_streams() -> None:
    """Streams that whoever started this has closed lead nowhere; a terminal is sent what it can show.

    Help for a terminal of fewer columns is that for `_NARROWEST`: its layout finds no end in under 6.
    """
    if shutil.get_terminal_size().columns < _NARROWEST:
        os.environ["COLUMNS"] = str(_NARROWEST)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.BytesIO()))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a caption or a name that the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _ending_on_terminate() -> Iterator[None]:
    """SIGTERM leaves every block of the command, which ends its child processes and removes temporary files."""
    owner = os.getpid()

    def leave(number: int, _frame: object) -> None:
        if os.getpid() != owner:  # a forked child
            os._exit(128 + number)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave_closed_pipe() -> NoReturn:
    """Exit as after a closed pipe, as in `unboxed … --help | head`."""
    # Python flushes standard output when it exits; that must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(141)


def _run(args: list[str]) -> None:
    if args == ["--version"]:
        print(f"unboxed {__version__}")
        return
    if args:
        require_order(args[0], args[1:])
    if args[:1] == ["fit"]:
        _run_fit(args[1:])
    elif args[:1] and args[0].startswith("--tyro-"):  # completion for a shell
        if args[-1] not in _SHELLS:
            raise UnboxedError(f"Completion is written for {' and '.join(_SHELLS)}: unboxed {args[0]} {_SHELLS[0]}")
        _run_one_of(COMMANDS | {"fit": fit_by_default, "import": import_features.import_command()}, args)
    elif args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
        raise UnboxedError(
            f"The first word is a command, and not {args[0]}; options come after it, as in `unboxed doctor --json`. "
            f"Known are {', '.join(COMMANDS)}."
        )
    elif not args or args[0].startswith("-"):
        summaries = {name: _without_options(command) for name, command in COMMANDS.items()}
        _run_one_of(summaries, args or ["--help"])
    else:
        _check_name("command", args[0], COMMANDS)
        command = import_features.import_command() if args[0] == "import" else COMMANDS[args[0]]
        _run_command(command, f"unboxed {args[0]}", args[1:])


def _run_one_of(commands: dict[str, Callable[..., None]], args: list[str]) -> None:
    tyro.extras.subcommand_cli_from_dict(commands, prog="unboxed", description=_DESCRIPTION, args=args, config=_CONFIG)


def _run_command(command: Callable[..., None], prog: str, args: list[str], description: str | None = None) -> None:
    with one_line_errors(prog, command, _CONFIG):
        tyro.cli(command, prog=prog, description=description, args=args, config=_CONFIG)


def _run_fit(args: list[str]) -> None:
    """Run `unboxed fit`. The recipes are imported only to run one of them or to list them in the help."""
    if not args:
        raise UnboxedError("Nothing to train on: unboxed fit --data photos.csv --out run. More: unboxed fit --help")
    if not args[0].startswith("-"):
        _check_name("recipe", args[0], recipe_commands())
        _run_command(recipe_command(args[0], args[1:]), f"unboxed fit {args[0]}", args[1:])
        return
    if any(argument.partition("=")[0] == "--preset" for argument in args):
        raise UnboxedError("A preset belongs to a recipe; name it first: unboxed fit scan --preset paper …")
    description = None
    if {"-h", "--help"} & set(args):
        names = "\n".join(f"  {name:<11} {_summary(command)}" for name, command in recipe_commands().items())
        description = (
            f"{_summary(fit_by_default)}\n\n`unboxed fit RECIPE` has options of its own. Recipes:\n{names}\n\n"
            + _PLUGIN
        )
    _run_command(fit_by_default, "unboxed fit", args, description)


def _without_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command of the same summary without options, for the list of all commands."""

    def listed() -> None: ...

    listed.__doc__ = _summary(command)
    return listed


def _summary(command: Callable[..., None]) -> str:
    """The first line of a command's docstring."""
    return (command.__doc__ or "").strip().splitlines()[0]


def _check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise an error that suggests the closest known name; tyro would print the whole help."""
    known = list(known)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else "."
    raise UnboxedError(f"There is no {kind} {name!r}{suggestion} Known are {', '.join(known)}.")
