"""One cell of a comparison: a recipe with its options, trained on one dataset with one seed, and what came out.

A cell is known by what decides its outcome: recipe, choices, seed, dataset and regions. Its run lies in
`FOLDER/runs`, its outcome in `FOLDER/cells`; a finished cell is never run again, an interrupted one goes on with its
fit. `python -m unboxed.experiments.cells CELL.json` is how a comparison runs one in a process of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from unboxed.data.dataset import load_dataset
from unboxed.errors import EvaluationError, UnboxedError
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.error_analysis import ErrorTable, count_errors
from unboxed.evaluation.evaluate import can_be_grounded, ground_split, score_examples
from unboxed.evaluation.grounding import GroundingScores
from unboxed.evaluation.heatmap_bootstrap import heatmap_metrics
from unboxed.evaluation.pair_scores import score_pairs
from unboxed.evaluation.retrieval import RetrievalScores, score_retrieval
from unboxed.evaluation.word_attention import attention_metrics
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.recipes import RECIPES, RecipeConfig
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.atomic import write_json
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import TrainingProgress, show
from unboxed.training.fit import fit
from unboxed.training.options import FitSettings
from unboxed.types import Example

__all__ = ["Cell", "FitOptions", "Outcome", "parse_recipe", "run_cell"]


@dataclass(frozen=True)
class FitOptions:
    """What of a fit a recipe's text may say beside the choices.

    Attributes:
        language_model: folder or hub name of a transformers masked language model for the negatives.
        min_count: a word that occurs less often in the training captions is unknown.
        train_fraction: share of the training images.
    """

    language_model: str | None = None
    min_count: int = 2
    train_fraction: float = 1.0


def parse_recipe(text: str, options: str = "") -> tuple[str, RecipeConfig, FitOptions]:
    """A recipe as on the command line of `unboxed fit`, such as `ckd --distillation 3`.

    Args:
        text: name and options.
        options: what holds unless the text says otherwise, such as `--epochs 10`.

    Returns:
        The recipe's name, its choices and the rest.

    Raises:
        EvaluationError: no such recipe, or an option that it does not have.
    """
    import tyro

    name, *own = shlex.split(text) or [""]
    if name not in RECIPES:
        raise EvaluationError(f"“{text}” starts with no recipe; known are {', '.join(RECIPES)}.")

    kind: Any = RECIPES[name]

    def both(choices: Any = kind(), rest: Any = FitOptions()) -> tuple[RecipeConfig, FitOptions]:  # noqa: B008
        return choices, rest

    both.__annotations__.update(choices=kind, rest=FitOptions)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            choices, rest = tyro.cli(
                both,
                args=[*shlex.split(options), *own],
                prog=f"unboxed fit {name}",
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit:
        what = " ".join(said.getvalue().replace("│", " ").split())
        raise EvaluationError(
            f"“{f'{text} {options}'.strip()}” is no recipe with options of its own ({what[:200]}…); "
            f"`unboxed fit {name} --help` lists them."
        ) from None
    return name, choices, rest


@dataclass(frozen=True)
class Cell:
    """What is to be trained and evaluated.

    Attributes:
        recipe: name and options, as on the command line.
        options: the dataset's, which hold unless the recipe says otherwise.
        seed: of training.
        dataset: a name for files, unique in the comparison.
        data: the dataset's file.
        split: what is evaluated on.
        regions: store of the regions of the training, validation and evaluated images.
    """

    recipe: str
    options: str
    seed: int
    dataset: str
    data: str
    split: str
    regions: str

    @cached_property
    def parsed(self) -> tuple[str, RecipeConfig, FitOptions]:
        """The recipe's name, its choices with the seed, and the rest."""
        name, choices, rest = parse_recipe(self.recipe, self.options)
        return name, replace(choices, schedule=replace(choices.schedule, seed=self.seed)), rest

    @cached_property
    def run_name(self) -> str:
        """Of the run's folder: equal for cells that train the same."""
        name, choices, rest = self.parsed
        decides = [name, asdict(choices), asdict(rest), self.data, self.regions]
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.dataset}-{name}-{digest[:10]}-{self.seed}"

    @property
    def name(self) -> str:
        """Of the outcome's files."""
        return f"{self.run_name}-{self.split}"

    def outcome(self, folder: Path) -> Outcome | None:
        """What came out, if the cell is finished."""
        return Outcome.load(folder / "cells" / self.name) if self.is_finished(folder) else None

    def is_finished(self, folder: Path) -> bool:
        """Has it been run to its end? The JSON file is written last."""
        return (folder / "cells" / f"{self.name}.json").is_file()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out of one cell, phrase by phrase and query by query.

    Attributes:
        seconds: training took, over all of its parts when it was interrupted.
        retrieval: ranks of the split's images and captions.
        image_ids: the images of the split, in the order of `retrieval`.
        grounding: scores, without intervals; None on a split without gold boxes.
        failures: what went wrong; None with `grounding`.
        more: further metrics, by name.
    """

    seconds: float
    retrieval: RetrievalScores
    image_ids: tuple[str, ...]
    grounding: GroundingScores | None
    failures: ErrorTable | None
    more: dict[str, PerImageMetric]

    @property
    def metrics(self) -> dict[str, PerImageMetric]:
        """Every metric by image."""
        grounding = self.grounding.per_image() if self.grounding else {}
        return {**grounding, "rsum": self.retrieval.rsum_per_image(self.image_ids), **self.more}

    def save(self, stem: Path, about: dict[str, Any]) -> None:
        """Write `stem.npz`, and then `stem.json`, which says that both are complete."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "image_ids": np.array(self.image_ids),
            "rank_B": self.retrieval.rank_B,
            "rank_C": self.retrieval.rank_C,
            "image_of_C": self.retrieval.image_of_C,
        }
        if self.grounding is not None:
            arrays["grounded_ids"] = np.array(self.grounding.image_ids)
            arrays["image_of_M"] = self.grounding.image_of_M
            arrays["types_of_M"] = np.array([" ".join(types) for types in self.grounding.types_of_M])
            arrays["outcomes_MX"] = self.grounding.outcomes_MX
        for name, metric in self.more.items():
            arrays[f"more/{name}/ids"] = np.array(metric.image_ids)
            arrays[f"more/{name}/hits"], arrays[f"more/{name}/counts"] = metric.numerator_IT, metric.denominator_IT
        stem.parent.mkdir(parents=True, exist_ok=True)
        beside = stem.with_name(f".{stem.name}.{os.getpid()}.npz")
        np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]
        beside.replace(stem.with_name(f"{stem.name}.npz"))
        failures = asdict(self.failures) if self.failures else None
        values = {name: round(metric.value, 3) for name, metric in self.metrics.items()}
        content = {**about, "seconds": self.seconds, "metrics": values, "retrieval": self.retrieval.to_dict()}
        write_json(stem.with_name(f"{stem.name}.json"), {**content, "failures": failures})

    @staticmethod
    def load(stem: Path) -> Outcome:
        """Read what `save` wrote.

        Raises:
            EvaluationError: a file that is missing or damaged.
        """
        try:
            content = json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
            with np.load(stem.with_name(f"{stem.name}.npz"), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            images = np.zeros(len(arrays["rank_B"]), dtype=np.intp)
            retrieval = RetrievalScores(arrays["rank_B"], arrays["rank_C"], arrays["image_of_C"], images)
            failures = content["failures"]
            return Outcome(
                seconds=float(content["seconds"]),
                retrieval=retrieval,
                image_ids=tuple(arrays["image_ids"].tolist()),
                grounding=_grounding(arrays) if "outcomes_MX" in arrays else None,
                failures=ErrorTable({k: tuple(v) for k, v in failures["counts"].items()}, tuple(failures["total"]))
                if failures
                else None,
                more={
                    name.split("/")[1]: PerImageMetric(
                        tuple(ids.tolist()),
                        arrays[name.replace("/ids", "/hits")],
                        arrays[name.replace("/ids", "/counts")],
                    )
                    for name, ids in arrays.items()
                    if name.endswith("/ids")
                },
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise EvaluationError(
                f"{stem}.json or .npz is damaged ({error!r}); delete both, and the cell is evaluated anew."
            ) from None


def _grounding(arrays: dict[str, npt.NDArray[Any]]) -> GroundingScores:
    types_of_M = tuple(tuple(types.split()) for types in arrays["types_of_M"].tolist())
    image_ids = tuple(arrays["grounded_ids"].tolist())
    return GroundingScores.of_outcomes(image_ids, arrays["image_of_M"], types_of_M, arrays["outcomes_MX"])


def run_cell(
    cell: Cell,
    folder: Path,
    *,
    show: Callable[[str], None] = lambda line: None,
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> None:
    """Train a cell and keep its outcome in `folder`; what an earlier call finished is not done again.

    Args:
        cell: what to train and evaluate.
        folder: of the comparison.
        say: is given a line for people at every stage.
        report: is given every entry of the training log.

    Raises:
        UnboxedError: anything wrong with the dataset, the store or the run, with the fix named.
    """
    with file_lock(folder / "cells" / cell.name):
        if cell.is_finished(folder):
            return

        name, choices, rest = cell.parsed
        run, regions = folder / "runs" / cell.run_name, Path(cell.regions)
        cache = folder / "negatives" / cell.dataset
        settings = FitSettings(Path(cell.data), run, regions, resume=True, cache=cache, **asdict(rest))
        with file_lock(run):  # another cell may train the same run for another split
            fit(name, choices, settings, show=show, report=report)
        show(f"Evaluating on {cell.split}")
        outcome = _evaluate(run, load_dataset(cell.data).split(cell.split).examples, regions)
        about = {"cell": asdict(cell), "recipe": name, "choices": asdict(choices)}
        outcome.save(folder / "cells" / cell.name, json.loads(json.dumps(about, default=str)))


def _evaluate(run: Path, examples: Sequence[Example], regions: Path) -> Outcome:
    grounder, store = Grounder.load(run), RegionStore.open(regions)
    gold = can_be_grounded(examples, store)
    split = EmbeddedSplit(grounder, store)
    grounded = list(ground_split(split, examples)) if gold else []
    pairs = score_pairs(split, examples)
    return Outcome(
        seconds=float(grounder.config.facts.get("best", {}).get("seconds", 0.0)),
        retrieval=score_retrieval(pairs.score_BC, pairs.image_of_C),
        image_ids=pairs.image_ids,
        grounding=score_examples(grounded) if gold else None,
        failures=count_errors(grounded) if gold else None,
        more={**attention_metrics(grounded), **heatmap_metrics(grounded)} if gold else {},
    )


def main(arguments: Sequence[str]) -> None:
    """Run the cell that a JSON file describes: `{"folder": …, "cell": {…}}`."""
    content = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        run_cell(Cell(**content["cell"]), Path(content["folder"]), show=show, report=TrainingProgress())
    except UnboxedError as error:
        show(f"error: {error}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
