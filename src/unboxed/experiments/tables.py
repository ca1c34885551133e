"""Tables of a comparison for other programs: CSV with a row for each value, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unboxed.experiments.results import Comparison, DatasetResult
from unboxed.runtime.csv_text import csv_text

__all__ = ["CSV_COLUMNS", "comparison_csv", "comparison_latex"]

CSV_COLUMNS = ("dataset", "split", "images", "recipe", "seeds", "metric", "value", "low", "high", "seed_values")
"""`low` and `high` are the 95 % interval; `seed_values` are separated by blanks; an untrained baseline has 0 seeds."""

_ESCAPED = {"--": "-{}-", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def comparison_csv(comparison: Comparison) -> str:
    """A row for each dataset, recipe and metric, then the untrained baselines; all values as they are, not rounded."""
    rows: list[list[object]] = []
    for dataset in comparison.datasets:
        where = (dataset.name, dataset.split, dataset.images)
        for result in dataset.recipes:
            for name, metric in result.metrics.items():
                seeds = " ".join(str(value) for value in result.seed_values(name))
                rows.append([*where, result.recipe, len(result.runs), name, metric.value, *metric.interval(), seeds])
        for baseline, scores in dataset.baselines.items():
            for name, value in scores.estimates.items():
                rows.append([*where, baseline, 0, name, value, *scores.intervals.get(name, ("", "")), ""])
    return csv_text(CSV_COLUMNS, rows)


def comparison_latex(comparison: Comparison, columns: Sequence[str]) -> str:
    """A table for each dataset, for `\\usepackage{booktabs}`; the best value of each column is bold.

    Args:
        comparison: the results.
        columns: names of metrics; those that no recipe of a dataset has are left out.
    """
    tables = [_latex(dataset, columns) for dataset in comparison.datasets if dataset.recipes]
    return "% \\usepackage{booktabs}\n" + "\n".join(tables)


def _latex(dataset: DatasetResult, columns: Sequence[str]) -> str:
    shown = [name for name in columns if any(name in result.metrics for result in dataset.recipes)]
    best = dataset.best_values(shown)
    several = any(len(result.runs) > 1 for result in dataset.recipes)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_escaped(dataset.name)}, {_escaped(dataset.split)}: {dataset.images} images. "
        rf"{'Mean over seeds' if several else 'One seed'}, 95\,\% bootstrap interval over "
        rf"{'seeds and images' if several else 'images'}.}}",
        rf"  \begin{{tabular}}{{lr{'r' * len(shown)}}}",
        r"    \toprule",
        "    " + " & ".join(["recipe", "seeds", *map(_escaped, shown)]) + r" \\",
        r"    \midrule",
    ]
    for result in dataset.recipes:
        cells = [_escaped(result.recipe), str(len(result.runs))]
        for name in shown:
            metric = result.metrics.get(name)
            if metric is None:
                cells.append("--")
                continue
            low, high = metric.interval()
            cells.append(f"{_bold(metric.value, best[name])} {{\\scriptsize({low:.1f}--{high:.1f})}}")
        lines.append("    " + " & ".join(cells) + r" \\")
    if dataset.baselines:
        lines.append(r"    \midrule")
    for baseline, scores in dataset.baselines.items():
        cells = [_bold(scores[name], best[name]) if name in scores.estimates else "--" for name in shown]
        lines.append("    " + " & ".join([_escaped(baseline), "--", *cells]) + r" \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]) + "\n"


def _bold(value: float, best: float) -> str:
    return rf"\textbf{{{value:.1f}}}" if round(value, 1) == round(best, 1) else f"{value:.1f}"


def _escaped(text: str) -> str:
    return re.sub(r"--|[\\~^&%$#_{}]", lambda found: _ESCAPED.get(found[0], "\\" + found[0]), text)
