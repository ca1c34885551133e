"""The command line. Every verb is a function here whose work lies elsewhere; heavy imports wait until it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from unboxed.errors import UnboxedError
from unboxed.evaluation.compare_settings import CompareSettings
from unboxed.progress import TrainingProgress, say
from unboxed.regions.settings import RegionSettings
from unboxed.training.settings import FitSettings

if TYPE_CHECKING:
    from unboxed.recipes import Choices

__all__ = ["main", "recipe_verbs"]

_DESCRIPTION = "Learn from captions alone which region of a photograph each phrase means."


def demo(out: Path = Path("demo"), seed: int = 0) -> None:
    """Draw a world, train on its captions alone, and write a report with phrases boxed in pictures.

    Args:
        out: folder of the drawn world, the run and the report.
        seed: of the world and of training.
    """
    from unboxed.demo import run_demo

    report = run_demo(out, seed=seed, say=say, report=TrainingProgress())
    say(f"Report: {report}")


def scenes(out: Positional[Path], /, seed: int = 0, train: int = 2000, val: int = 300, test: int = 300) -> None:
    """Draw Scenes, a world in the Flickr30K Entities format, and name it in OUT/data.toml.

    Args:
        out: folder to write; it must not exist yet.
        seed: the same seed draws the same world, byte by byte.
        train: images of the train split.
        val: images of the val split.
        test: images of the test split.
    """
    from unboxed.data.scenes import write_scenes

    say(f"Wrote {write_scenes(out, seed=seed, train=train, val=val, test=test)}")


def regions(
    data: Positional[Path],
    /,
    out: Path,
    detector: tuple[Path, ...] = (),
    settings: OmitArgPrefixes[RegionSettings] = RegionSettings(),  # noqa: B008, a frozen value
    workers: int | None = None,
    strict: bool = False,
) -> None:
    """Find regions in every photograph of a dataset and keep them in a store.

    Args:
        data: the dataset's TOML file, CSV or JSONL.
        out: folder of the store; an interrupted extraction goes on where it stopped.
        detector: ONNX object detectors, the same as --detectors.
        settings: what proposes and describes regions.
        workers: photographs worked on at a time; as many as there are cores by default.
        strict: stop at the first photograph that cannot be read instead of skipping it.
    """
    from dataclasses import replace

    from unboxed.data.dataset import load_dataset
    from unboxed.regions.extraction import extract

    dataset = load_dataset(data)
    dataset.require_photographs()
    chosen = replace(settings, detectors=(*settings.detectors, *detector))
    splits = [dataset.split(name) for name in dataset.split_names]
    for split in splits:
        say(split.describe())
        if strict:
            split.require_readable()
    examples = {example.image_id: example for split in splits for example in split.examples}
    summary = extract(list(examples.values()), chosen, out, workers=workers, strict=strict)
    skipped = dict(summary.skipped)
    for split in splits:
        skipped.update(split.unreadable)
    for image_id, reason in skipped.items():
        say(f"Skipped {image_id}: {reason}")
    say(
        f"{out}: {summary.done:,} photos in {summary.seconds:.0f} s, {summary.reused:,} were there already, "
        f"{len(skipped)} skipped"
    )


def import_features(
    data: Positional[Path],
    /,
    features: Path,
    format: Literal["scan", "tsv", "hdf5"],  # noqa: A002, the name of the option
    out: Path,
    classes: Path | None = None,
) -> None:
    """Keep region features that others have computed in a store: SCAN's, bottom-up attention's, InfoGround's.

    Args:
        data: the dataset's TOML file, CSV or JSONL.
        features: SCAN directory, TSV file or folder of them, or folder of HDF5 files.
        format: which of them.
        out: folder of the store; an interrupted import goes on where it stopped.
        classes: text file with the names of the features' class labels, one a line from number 0.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.regions.precomputed import import_regions, open_features

    say(f"{out}: {import_regions(load_dataset(data), open_features(features, format), out, class_names=classes)}")


def evaluate(
    run: Positional[Path],
    /,
    data: Path,
    split: str = "val",
    regions: Path | None = None,
    proposals: Path | None = None,
    json: bool = False,
    report: bool = True,
    retrieval: bool = True,
    folds: int = 1,
    strict: bool = False,
) -> None:
    """Score a run's groundings against the gold boxes of a split, and write a report with pictures.

    Args:
        run: folder of the run.
        data: the dataset's TOML file.
        split: name of the split.
        regions: store of the split's regions; without one they are extracted the run's way.
        proposals: store of boxes that a run of npair answers with, ranked by their heat, instead of boxes of its own.
        json: print one JSON object instead of a table.
        report: write RUN/report-SPLIT.html.
        retrieval: also rank all captions of the split for each photograph, and all photographs for each caption.
        folds: disjoint runs of photographs over which retrieval is averaged: 5 for COCO's five folds of 1,000.
        strict: stop at the first photograph that cannot be read instead of skipping it.
    """
    from unboxed.evaluation.report_run import evaluate_run

    result = evaluate_run(
        run,
        data,
        split,
        regions,
        report=report,
        strict=strict,
        proposals=proposals,
        retrieval=retrieval,
        folds=folds,
        say=say,
    )
    if json:
        _print_json(result.to_dict())
    else:
        from rich.console import Console

        Console().print(result.scores.table())
        if result.heat is not None:
            say(str(result.heat))
        for name, line in result.more_facts.items():
            say(f"{name}: {line}")
        if result.report is not None:
            say(f"Report: {result.report}")


def compare(settings: OmitArgPrefixes[CompareSettings]) -> None:
    """Train recipes on datasets, each with several seeds, and put them in one table with intervals and plots.

    Args:
        settings: what to compare.
    """
    from unboxed.evaluation.compare import compare as run_comparison

    run_comparison(settings, say)


def ground(
    run: Positional[Path],
    photo: Positional[Path],
    caption: Positional[str],
    /,
    save: Path | None = None,
    json: bool = False,
    top: int = 5,
) -> None:
    """Box the phrases of a caption in a photograph.

    Args:
        run: folder of the run.
        photo: the photograph.
        caption: any sentence; its noun phrases are boxed.
        save: write the photograph with its boxes here (.png or .jpg).
        json: print one JSON object.
        top: boxes a phrase in the JSON, best first.
    """
    from unboxed.data.photos import open_photo
    from unboxed.model import Grounder
    from unboxed.phrases import noun_phrases
    from unboxed.types import Caption

    given = Caption(caption, noun_phrases(caption))
    image = open_photo(photo)
    grounding = Grounder.load(run).ground(image, given)
    if save is not None:
        from unboxed.pictures import draw_grounding, save_picture

        save_picture(save, draw_grounding(image, caption, grounding.phrases))
    if json:
        _print_json(grounding.to_dict(top))
    else:
        for phrase in grounding.phrases:
            box = ", ".join(f"{edge:.0f}" for edge in phrase.boxes[0])
            print(f"{phrase.text}: [{box}]  {phrase.scores[0]:.2f}")
        if save is not None:
            say(f"Picture: {save}")


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
}


def _fit_verb(name: str, recipe: type[Choices]) -> Callable[..., None]:
    """`unboxed fit NAME`: the settings of a fit and the choices of a recipe as options."""

    def verb(settings: Any, choices: Any = recipe()) -> None:  # noqa: B008, a frozen value
        from unboxed.training.fit import fit

        fit(name, choices, settings, say=say, report=TrainingProgress())
        say(f"Run: {settings.out}. Next: unboxed evaluate {settings.out} --data {settings.data} --split val")

    verb.__annotations__.update(settings=OmitArgPrefixes[FitSettings], choices=OmitArgPrefixes[recipe])  # type: ignore[misc, valid-type]
    verb.__doc__ = (sys.modules[recipe.__module__].__doc__ or name).splitlines()[0]
    return verb


def recipe_verbs() -> dict[str, Callable[..., None]]:
    """The verbs after `unboxed fit`; the recipes are loaded only for them."""
    from unboxed.recipes import RECIPES

    return {name: _fit_verb(name, recipe) for name, recipe in RECIPES.items()}


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


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, ensure_ascii=False))
