"""Pages of a comparison: Markdown, and one HTML file with plots. Both are generated, never edited by hand."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unboxed.errors import EvaluationError
from unboxed.evaluation.baselines import baselines_markdown
from unboxed.evaluation.bootstrap import MetricOfRuns, PairedDifference
from unboxed.evaluation.error_analysis import ERROR_KINDS
from unboxed.evaluation.grounding import GroundingScores
from unboxed.experiments.claims import paper_notes
from unboxed.experiments.results import Comparison, DatasetResult, RecipeResult
from unboxed.experiments.tables import comparison_csv, comparison_latex
from unboxed.experiments.verdicts import ClaimResult, claims_markdown, grid_markdown
from unboxed.runtime.atomic import write_text
from unboxed.visualization.curves import Chart, epoch_charts
from unboxed.visualization.html import html_template

__all__ = ["command_line", "require_known_formats", "results_markdown", "write_results"]

_COLUMNS = ("recall_any@1", "recall_any@5", "recall_any@10", "recall_union@1", "pointing_any", "rsum")
_OPTIONAL_COLUMNS = ("pointing_heatmap", "attention_f1")  # where all recipes have them
_COMPARED = ("recall_any@1", "pointing_any", "rsum")  # in the table of differences and in the plots


def write_results(comparison: Comparison) -> None:
    """Writes `results.md` and `results.html` to the comparison's folder, and the files of `settings.write`."""
    out = comparison.settings.out
    for path in (out / "results.md", out / "results.html", *comparison.settings.write):
        write_text(path, _FORMATS[path.suffix.lower()](comparison))


def require_known_formats(paths: Sequence[Path]) -> None:
    """Raises `EvaluationError` for a file whose ending names no format of results."""
    for path in paths:
        if path.suffix.lower() not in _FORMATS:
            raise EvaluationError(f"Results cannot be written as {path.name!r}; let it end in {', '.join(_FORMATS)}.")


def command_line(comparison: Comparison) -> str:
    """The command that makes this comparison, with the names of files without their folders."""
    settings = comparison.settings
    words = ["unboxed", "compare", "--data", *(_short(path) for path in settings.data)]
    words += ["--recipes", *settings.recipes] if settings.recipes else []
    words += [f"--options={options}" for options in settings.options]
    words += ["--regions", *(_short(path) for path in settings.regions)] if settings.regions else []
    words += ["--split", *settings.split, "--seeds", str(settings.seeds)]
    words += ["--claim-seeds", str(settings.claim_seeds)] if settings.claims else []
    words += ["--claims-of", *settings.claims_of] if settings.claims_of else []
    words += ["--reference", settings.reference] if settings.reference else []
    words += ["--baseline", *(f"hf:{Path(name).name}" for name in settings.baseline)] if settings.baseline else []
    flags = {"--claims": settings.claims, "--finished-only": settings.finished_only}
    return " ".join([*map(shlex.quote, words), *(flag for flag, given in flags.items() if given), "--out FOLDER"])


def results_markdown(comparison: Comparison) -> str:
    """The Markdown page."""
    lines = [
        "# Results",
        "",
        f"Written by `{command_line(comparison)}`."
        + (" Without `--finished-only` it trains what is missing." if comparison.settings.finished_only else ""),
        "",
        "Grounding scores are percentages of the phrases with a gold box; retrieval is rsum, the sum of six recalls. "
        "The guide “Metrics” defines both. A row is the mean over seeds. Brackets contain the 95 % bootstrap interval "
        "over seeds and images; with one seed it is over images alone. Epochs are selected without boxes, and are "
        "*rising* where the validation curve of a seed still rose when training ended (guide “Comparing recipes”). "
        "Minutes are training time, with as many threads as a cell had.",
    ]
    if comparison.best is not None:
        lines += ["", f"best: `{comparison.best.recipe}`"]
    for dataset in comparison.datasets:
        lines += ["", *_dataset(dataset)]
    claims = [result for dataset in comparison.datasets for result in dataset.claims]
    if claims:
        lines += [
            "",
            "## Claims of the papers",
            "",
            "Each claim is that the first side scores higher than the second. *Reproduced*: the whole interval of the "
            "paired difference is above 0; *not reproduced*: it is below 0; *not decided*: it contains 0, or the "
            "validation curve of a side was still rising. A verdict is about these data, features and "
            "reconstructions, not about the numbers in the papers.",
            "",
            claims_markdown(claims).rstrip(),
            *_not_run(claims),
        ]
        for dataset in comparison.datasets:
            lines += ["", *_grid(dataset)] if dataset.grid else []
        judged = {result.claim.paper for result in claims if result.difference is not None}
        lines += [f"\n**{paper}.** {text}" for paper, text in paper_notes().items() if paper in judged]
    if comparison.failed:
        lines += ["", "## Failed cells", ""]
        lines += [f"* `{name}` failed: {reason}" for name, reason in comparison.failed.items()]
    return "\n".join(lines) + "\n"


def _not_run(claims: Sequence[ClaimResult]) -> list[str]:
    """A paragraph with the claims that were not run, by paper and dataset; the HTML page has the reasons."""
    texts: dict[str, list[str]] = {}
    for result in claims:
        if result.difference is None:
            texts.setdefault(f"{result.claim.paper}, {result.dataset}", []).append(result.claim.text)
    if not texts:
        return []
    return ["", "Not run: " + " ".join(f"*{place}*: {'; '.join(dict.fromkeys(of))}." for place, of in texts.items())]


def _grid(dataset: DatasetResult) -> list[str]:
    rows, every = [row for row in dataset.grid if row.metrics], len(dataset.grid)
    if not rows:
        return [f"None of the {every} settings that are to be tried on `val` of {dataset.name} was run."]
    missing = f" {every - len(rows)} of {every} settings were not run." if len(rows) < every else ""
    tried = (
        f"Tried on `val` of {dataset.name}, with one seed; of the rows of a claim, the highest rsum counts.{missing}"
    )
    return [tried, "", grid_markdown(rows).rstrip()]


def _dataset(dataset: DatasetResult) -> list[str]:
    best = dataset.best
    lines = [f"## {dataset.name}", "", _description(dataset)]
    if dataset.recipes:
        protocol = dataset.recipes[0].runs[0].retrieval.protocol
        lines += [f"Retrieval: {protocol}.", "", *_table(dataset.recipes), "", *_seeds(dataset), *_differences(dataset)]
    if best is not None and best.grounding is not None:
        lines += ["", f"`{best.recipe}` by entity type:", "", *_by_type(best.grounding)]
    if best is not None and best.errors is not None:
        lines += [
            "",
            "Its errors, in percent of the phrases of each type (guide “Metrics”):",
        ]
        lines += ["", best.errors.to_markdown().rstrip()]
    if dataset.baselines:
        lines += ["", "Untrained baselines:", "", baselines_markdown(dataset.baselines).rstrip()]
    return lines


def _description(dataset: DatasetResult) -> str:
    images = f"{_kind(dataset)}: {dataset.training_images:,} for training, evaluated on the {dataset.images:,} of"
    scores = dataset.best.grounding if dataset.best else None
    if scores is None:
        return f"{images} `{dataset.split}`."
    return (
        f"{images} `{dataset.split}` with {scores.phrases:,} phrases. With the regions of the best recipe, no ranking "
        f"exceeds {scores['upper_bound_any']:.1f} (any) or {scores['upper_bound_union']:.1f} (union)."
    )


def _kind(dataset: DatasetResult) -> str:
    return {"drawn": "Drawn images", "real": "Real images"}[dataset.kind]


def _table(recipes: Sequence[RecipeResult]) -> list[str]:
    columns = _columns(recipes)
    lines = [f"| recipe | seeds | {' | '.join(f'`{name}`' for name in columns)} | epochs | minutes |"]
    lines += ["| --- | ---: |" + " ---: |" * (len(columns) + 2)]
    for result in recipes:
        values = " | ".join(_with_interval(result.metrics[name]) for name in columns)
        ends = f"{result.epochs} | {result.minutes:.1f}"
        lines.append(f"| `{result.recipe}` | {len(result.runs)} | {values} | {ends} |")
    return lines


def _columns(recipes: Sequence[RecipeResult]) -> list[str]:
    return [name for name in (*_COLUMNS, *_OPTIONAL_COLUMNS) if all(name in result.metrics for result in recipes)]


def _seeds(dataset: DatasetResult) -> list[str]:
    if all(len(result.runs) == 1 for result in dataset.recipes):
        return []
    each = [
        f"`{result.recipe}` " + ", ".join(f"{value:.1f}" for value in result.seed_values(dataset.headline))
        for result in dataset.recipes
    ]
    return [f"{dataset.headline} of each seed: {'; '.join(each)}."]


@dataclass(frozen=True)
class _Differences:
    """The table of differences: what is subtracted, and the differences of each other recipe by metric."""

    heading: str
    rows: dict[str, dict[str, PairedDifference]]

    @property
    def metrics(self) -> list[str]:
        return list(next(iter(self.rows.values())))


def _differences_of(dataset: DatasetResult) -> _Differences | None:
    if len(dataset.recipes) < 2 or dataset.best is None:
        return None
    if dataset.reference is not None:
        heading = f"Each other recipe minus `{dataset.reference.recipe}`"
        columns = [name for name in _columns(dataset.recipes) if name in (*_COMPARED, *_OPTIONAL_COLUMNS)]
    else:
        heading = f"The best by {dataset.headline}, `{dataset.best.recipe}`, minus each other recipe"
        columns = [name for name in _columns(dataset.recipes) if name in _COMPARED]
    found = {name: dataset.differences(name) for name in columns}
    others = next(iter(found.values()))
    return _Differences(heading, {other: {name: found[name][other] for name in columns} for other in others})


def _differences(dataset: DatasetResult) -> list[str]:
    table = _differences_of(dataset)
    if table is None:
        return []
    lines = [
        "",
        f"{table.heading}, paired over seeds and images, in points:",
        "",
        f"| other | {' | '.join(f'`{metric}`' for metric in table.metrics)} |",
        "| --- |" + " ---: |" * len(table.metrics),
    ]
    for recipe, found in table.rows.items():
        values = " | ".join(f"{each.difference:+.1f} ({each.low:+.1f} to {each.high:+.1f})" for each in found.values())
        lines.append(f"| `{recipe}` | {values} |")
    return lines


def _by_type(scores: GroundingScores) -> list[str]:
    columns = ("recall_any@1", "pointing_any", "upper_bound_any")
    lines = [
        f"| type | phrases | {' | '.join(f'`{metric}`' for metric in columns)} |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for name, percent in scores.by_type.items():
        values = " | ".join(f"{percent[metric]:.1f}" for metric in columns)
        lines.append(f"| {name} | {scores.phrases_by_type[name]:,} | {values} |")
    return lines


def _with_interval(metric: MetricOfRuns) -> str:
    low, high = metric.interval()
    return f"{metric.value:.1f} ({low:.1f}–{high:.1f})"


def _present(result: RecipeResult, metrics: Sequence[str]) -> list[str]:
    return [metric for metric in metrics if metric in result.metrics]


@dataclass(frozen=True)
class _Mark:
    """One row of a plot: the value of a recipe with its interval and its seeds, in percent of the axis."""

    recipe: str
    label: str
    at: float
    low: float
    high: float
    seeds: tuple[float, ...]
    best: bool


@dataclass(frozen=True)
class _Plot:
    """The values of one metric on one axis; the best baseline as its place on the axis and its label."""

    metric: str
    marks: tuple[_Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    baseline: tuple[float, str] | None


def _plots(dataset: DatasetResult) -> list[_Plot]:
    if not dataset.recipes:
        return []
    return [_plot(dataset, metric) for metric in _present(dataset.recipes[0], _COMPARED)]


def _plot(dataset: DatasetResult, metric: str) -> _Plot:
    intervals = {result.recipe: result.metrics[metric].interval() for result in dataset.recipes}
    baselines = [(scores[metric], name) for name, scores in dataset.baselines.items()] if metric != "rsum" else []
    baseline = max(baselines, default=None)
    values = [bound for interval in intervals.values() for bound in interval]
    values += [value for result in dataset.recipes for value in result.seed_values(metric)]
    values += [baseline[0]] if baseline else []
    step = next(size for size in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if size * 6 >= max(values) - min(values))
    first, last = int(min(values) // step), int(max(values) // step) + 1

    def share(value: float) -> float:
        return round(100 * (value - first * step) / ((last - first) * step), 2)

    highest = max(result.metrics[metric].value for result in dataset.recipes)
    marks = tuple(
        _Mark(
            result.recipe,
            _with_interval(result.metrics[metric]),
            share(result.metrics[metric].value),
            share(intervals[result.recipe][0]),
            share(intervals[result.recipe][1]),
            tuple(share(value) for value in result.seed_values(metric)) if len(result.runs) > 1 else (),
            round(result.metrics[metric].value, 1) == round(highest, 1),
        )
        for result in sorted(dataset.recipes, key=lambda result: -result.metrics[metric].value)
    )
    ticks = tuple((share(i * step), f"{i * step:g}") for i in range(first, last + 1))
    return _Plot(metric, marks, ticks, (share(baseline[0]), f"{baseline[1]} {baseline[0]:.1f}") if baseline else None)


def _learning(dataset: DatasetResult) -> list[tuple[RecipeResult, tuple[Chart, ...]]]:
    """The learning curves of each trained recipe, a curve for each seed."""
    charts = []
    for result in dataset.recipes:
        runs = {f"seed {seed}": run.curve for seed, run in zip(result.seeds, result.runs, strict=True)}
        rsums = {name: curve.val_rsum for name, curve in runs.items()}
        losses = {name: curve.val_loss for name, curve in runs.items()}
        drawn = (*epoch_charts("validation rsum", rsums), *epoch_charts("validation loss", losses))
        charts += [(result, drawn)] if drawn else []
    return charts


def _html(comparison: Comparison) -> str:
    return html_template("unboxed.experiments", "results.html").render(
        comparison=comparison,
        command=command_line(comparison),
        columns={dataset.name: _columns(dataset.recipes) for dataset in comparison.datasets},
        plots={dataset.name: _plots(dataset) for dataset in comparison.datasets},
        learning={dataset.name: _learning(dataset) for dataset in comparison.datasets},
        best={dataset.name: dataset.best_values(_columns(dataset.recipes)) for dataset in comparison.datasets},
        kind=_kind,
        with_interval=_with_interval,
        differences={dataset.name: _differences_of(dataset) for dataset in comparison.datasets},
        error_kinds=ERROR_KINDS,
    )


def _short(path: Path) -> str:
    return f"{path.absolute().parent.name}/{path.name}" if path.name == "data.toml" else path.name


_FORMATS: dict[str, Callable[[Comparison], str]] = {
    ".md": results_markdown,
    ".html": _html,
    ".csv": comparison_csv,
    ".tex": lambda comparison: comparison_latex(comparison, (*_COLUMNS, *_OPTIONAL_COLUMNS)),
}
