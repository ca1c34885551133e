"""A comparison as a Markdown page and as one HTML file with drawings; neither is written by hand."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2

from unboxed.evaluation.baselines import baselines_markdown
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.error_analysis import ERROR_KINDS
from unboxed.experiments.claims import claims_markdown
from unboxed.experiments.comparison import Comparison, DatasetResult, RecipeResult

__all__ = ["command_line", "results_markdown", "write_results"]

_SHOWN = ("recall_any@1", "recall_any@5", "recall_any@10", "recall_union@1", "pointing_any", "rsum")
_MORE = ("pointing_heatmap", "attention_f1")  # where every recipe has it
_COMPARED = ("recall_any@1", "pointing_any", "rsum")
_DRAWN = ("recall_any@1", "pointing_any", "rsum")


def write_results(comparison: Comparison) -> None:
    """Write `results.md` and `results.html` to the comparison's folder, and the former where `write` says."""
    page = results_markdown(comparison)
    folder = comparison.settings.out
    _write(folder / "results.md", page)
    _write(folder / "results.html", _html(comparison))
    if comparison.settings.write is not None:
        _write(comparison.settings.write, page)


def command_line(comparison: Comparison) -> str:
    """The command that makes this comparison, with the names of files but not their folders."""
    settings = comparison.settings
    words = ["unboxed", "compare", "--data", *(_short(path) for path in settings.data)]
    words += ["--recipes", *settings.recipes] if settings.recipes else []
    words += [f"--options={options}" for options in settings.options]
    words += ["--regions", *(_short(path) for path in settings.regions)] if settings.regions else []
    words += ["--split", *settings.split, "--seeds", str(settings.seeds)]
    words += ["--claim-seeds", str(settings.claim_seeds)] if settings.claims else []
    flags = {"--claims": settings.claims, "--finished-only": settings.finished_only}
    return " ".join([*map(shlex.quote, words), *(flag for flag, given in flags.items() if given), "--out FOLDER"])


def results_markdown(comparison: Comparison) -> str:
    """The whole page."""
    lines = [
        "# Results",
        "",
        f"Written by `{command_line(comparison)}`.",
        "",
        "Grounding is in per cent of phrases with a gold box, retrieval as rsum, the sum of six recalls; the protocols "
        "are in [metrics.md](metrics.md). A row is the mean over its seeds, brackets hold the 95 % interval of a "
        "bootstrap over images, which does not contain how seeds differ. Epochs are chosen without boxes. Minutes "
        "are of training alone, on as many threads as a cell had.",
    ]
    if comparison.best is not None:
        lines += ["", f"best: `{comparison.best.recipe}`"]
    for dataset in comparison.datasets:
        lines += ["", *_dataset(dataset)]
    judged = [result for dataset in comparison.datasets for result in dataset.claims]
    if judged:
        lines += [
            "",
            "## What the papers claim",
            "",
            "The claim is that the first does better than the second. *Reproduced*: the whole interval of the paired "
            "difference is above 0; *not reproduced*: below; *not decided*: 0 is inside. A verdict speaks of these "
            "data, features and reconstructions, not of the papers' own figures.",
            "",
            claims_markdown(judged).rstrip(),
        ]
    if comparison.failed:
        lines += ["", "## Not finished", ""]
        lines += [f"* `{name}`{error}" for name, error in comparison.failed.items()]
    return "\n".join(lines) + "\n"


def _dataset(dataset: DatasetResult) -> list[str]:
    counted = dataset.best.grounding if dataset.best else None
    phrases = f", {counted.phrases:,} phrases" if counted else ""
    bound = ""
    if counted:
        bound = (
            f" No ranking of the best recipe's regions passes {counted['upper_bound_any']:.1f} (any) and "
            f"{counted['upper_bound_union']:.1f} (union)."
        )
    lines = [
        f"## {dataset.name}",
        "",
        f"{'A drawn world' if dataset.kind == 'drawn' else 'Photographs'}: {dataset.training_photos:,} to train on, "
        f"scored on the {dataset.images:,} of `{dataset.split}`{phrases}.{bound}",
    ]
    if dataset.recipes:
        protocol = dataset.recipes[0].runs[0].retrieval.protocol
        lines += [f"Retrieval: {protocol}.", "", *_table(dataset.recipes), "", *_seeds(dataset)]
        lines += _differences(dataset)
    best = dataset.best
    if best is not None and best.grounding is not None:
        lines += ["", f"`{best.recipe}` by type of phrase:", "", *_by_type(best)]
    if best is not None and best.failures is not None:
        lines += ["", "What goes wrong with it, in per cent of the phrases of a type (see [metrics.md](metrics.md)):"]
        lines += ["", best.failures.to_markdown().rstrip()]
    if dataset.baselines:
        lines += ["", "What learns nothing:", "", baselines_markdown(dataset.baselines).rstrip()]
    return lines


def _table(recipes: Sequence[RecipeResult]) -> list[str]:
    columns = _columns(recipes)
    lines = [f"| recipe | seeds | {' | '.join(f'`{name}`' for name in columns)} | minutes |"]
    lines += ["| --- | ---: |" + " ---: |" * (len(columns) + 1)]
    for own in recipes:
        cells = " | ".join(_with_interval(own.metrics[name]) for name in columns)
        lines.append(f"| `{own.recipe}` | {len(own.runs)} | {cells} | {own.minutes:.1f} |")
    return lines


def _columns(recipes: Sequence[RecipeResult]) -> list[str]:
    return [name for name in (*_SHOWN, *_MORE) if all(name in own.metrics for own in recipes)]


def _seeds(dataset: DatasetResult) -> list[str]:
    if all(len(own.runs) == 1 for own in dataset.recipes):
        return []
    each = [
        f"`{own.recipe}` " + ", ".join(f"{value:.1f}" for value in own.seed_values(dataset.headline))
        for own in dataset.recipes
    ]
    return [f"Each seed's {dataset.headline}: {'; '.join(each)}."]


def _differences(dataset: DatasetResult) -> list[str]:
    best = dataset.best
    if best is None or len(dataset.recipes) < 2:
        return []
    columns = _present(best, _COMPARED)
    found = {metric: dataset.behind_best(metric) for metric in columns}
    lines = [
        "",
        f"The best by {dataset.headline}, `{best.recipe}`, minus each other, paired over images, in points:",
        "",
        f"| other | {' | '.join(f'`{metric}`' for metric in columns)} |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for own in dataset.recipes:
        if own is not best:
            cells = [found[metric][own.recipe] for metric in columns]
            said = (f"{d.difference:+.1f} ({d.low:+.1f} to {d.high:+.1f})" for d in cells)
            lines.append(f"| `{own.recipe}` | {' | '.join(said)} |")
    return lines


def _by_type(own: RecipeResult) -> list[str]:
    scores = own.grounding
    assert scores is not None  # asked for by the caller
    columns = ("recall_any@1", "pointing_any", "upper_bound_any")
    lines = [
        f"| type | phrases | {' | '.join(f'`{metric}`' for metric in columns)} |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for name, percent in scores.by_type.items():
        cells = " | ".join(f"{percent[metric]:.1f}" for metric in columns)
        lines.append(f"| {name} | {scores.phrases_by_type[name]:,} | {cells} |")
    return lines


def _with_interval(metric: PerImageMetric) -> str:
    low, high = metric.interval()
    return f"{metric.value:.1f} ({low:.1f}–{high:.1f})"


def _present(own: RecipeResult, metrics: Sequence[str]) -> list[str]:
    return [metric for metric in metrics if metric in own.metrics]


@dataclass(frozen=True)
class _Mark:
    """One row of a drawing: a recipe's value with its interval and its seeds, in per cent of the axis."""

    recipe: str
    label: str
    at: float
    low: float
    high: float
    seeds: tuple[float, ...]
    best: bool


@dataclass(frozen=True)
class _Plot:
    """The values of one metric on one axis."""

    metric: str
    marks: tuple[_Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    baseline: tuple[float, str] | None


def _plots(dataset: DatasetResult) -> list[_Plot]:
    if not dataset.recipes:
        return []
    return [_plot(dataset, metric) for metric in _present(dataset.recipes[0], _DRAWN)]


def _plot(dataset: DatasetResult, metric: str) -> _Plot:
    intervals = {own.recipe: own.metrics[metric].interval() for own in dataset.recipes}
    strongest = max(((own[metric], name) for name, own in dataset.baselines.items() if metric != "rsum"), default=None)
    values = [bound for interval in intervals.values() for bound in interval]
    values += [value for own in dataset.recipes for value in own.seed_values(metric)]
    values += [strongest[0]] if strongest else []
    step = next(size for size in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if size * 6 >= max(values) - min(values))
    first, last = int(min(values) // step), int(max(values) // step) + 1
    low, span = first * step, (last - first) * step

    def share(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    marks = tuple(
        _Mark(
            own.recipe,
            _with_interval(own.metrics[metric]),
            share(own.metrics[metric].value),
            share(intervals[own.recipe][0]),
            share(intervals[own.recipe][1]),
            tuple(share(value) for value in own.seed_values(metric)) if len(own.runs) > 1 else (),
            own is dataset.best,
        )
        for own in sorted(dataset.recipes, key=lambda own: -own.metrics[metric].value)
    )
    ticks = tuple((share(i * step), f"{i * step:g}") for i in range(first, last + 1))
    return _Plot(
        metric, marks, ticks, (share(strongest[0]), f"{strongest[1]} {strongest[0]:.1f}") if strongest else None
    )


def _html(comparison: Comparison) -> str:
    return _template().render(
        comparison=comparison,
        command=command_line(comparison),
        columns={own.name: _columns(own.recipes) for own in comparison.datasets},
        plots={dataset.name: _plots(dataset) for dataset in comparison.datasets},
        with_interval=_with_interval,
        compared=_COMPARED,
        failures=ERROR_KINDS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("unboxed.experiments").joinpath("compare.html").read_text(encoding="utf-8"))


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.name == "data.toml" else path.name


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)
