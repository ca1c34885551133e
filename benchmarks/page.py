"""Writes the measurements as a Markdown page with drawings."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.harness import Outcome, Target
from unboxed.runtime.atomic import write_text

__all__ = ["lines_for_people", "write"]


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the page, and its drawings to `assets/NAME-DRAWING.svg` beside it.

    The sections of other benchmarks in an existing page are kept.
    """
    sections = _sections(path.read_text("utf-8") if path.is_file() else "")
    kept = len(sections.keys() - {_title(outcome) for outcome in outcomes})
    by = f"Written by `{_command(path, outcomes)}`" + (
        "; other sections by the commands that they name." if kept else "."
    )
    lines = ["# Performance", "", by, "", *_machine(), ""]
    lines += [
        "A ratio is the time of the reference divided by ours: medians of alternating runs in one process. The "
        "references in `benchmarks/` are written like the original implementations of the methods. Targets that are "
        "not met stay on this page, with the measured value.",
        "",
    ]
    for outcome in outcomes:
        sections[_title(outcome)] = "\n".join(_section(path, outcome))
    lines += [section + "\n" for section in sections.values()]
    write_text(path, "\n".join(lines).rstrip() + "\n")


def _sections(text: str) -> dict[str, str]:
    """The sections of an existing page, by title."""
    parts = text.split("\n## ")[1:]
    return {part.partition("\n")[0]: "## " + part.strip() for part in parts}


def _title(outcome: Outcome) -> str:
    return (outcome.module.__doc__ or outcome.name).strip().partition("\n")[0].rstrip(".")


def lines_for_people(outcome: Outcome) -> Iterator[str]:
    """The figures of one benchmark, each with its target where it has one."""
    if outcome.skipped:
        yield f"{outcome.name}: not run: {outcome.skipped}"
    targets = {target.value: target for target in _targets(outcome)}
    for part, figures in outcome.result.items():
        for name, value in figures.items():
            target = targets.get(f"{part}.{name}")
            verdict = f"   ({_limit(target)}: {'met' if target.met(outcome.result) else 'MISSED'})" if target else ""
            yield f"{outcome.name} {part} {name}: {value:.4g}{verdict}"


def _section(path: Path, outcome: Outcome) -> list[str]:
    title, _, text = (outcome.module.__doc__ or outcome.name).strip().partition("\n")
    lines = [f"## {title.rstrip('.')}", ""]
    if text.strip():
        lines += [*text.strip().splitlines(), ""]
    if outcome.skipped:
        return [*lines, f"**Not run here**: {outcome.skipped}."]
    targets = _targets(outcome)
    if targets:
        lines += ["| | target | measured | met |", "| --- | ---: | ---: | --- |"]
        lines += [_target_row(target, outcome) for target in targets]
        missed = [target.label for target in targets if not target.met(outcome.result)]
        if missed:
            lines += ["", f"**Missed**: {'; '.join(missed)}."]
        lines.append("")
    lines += ["| | name | value |", "| --- | --- | ---: |"]
    lines += [
        f"| {part} | {name.replace('_', ' ')} | {_number(value)} |"
        for part, figures in outcome.result.items()
        for name, value in figures.items()
    ]
    size = "" if outcome.size is None else f" --size {outcome.size}"
    lines += ["", f"`unboxed bench {outcome.name}{size}`, {outcome.seconds:.0f} s."]
    for name, drawing in getattr(outcome.module, "plots", lambda _: {})(outcome.result).items():
        file = f"assets/{path.stem}-{outcome.name}-{name}.svg"
        write_text(path.parent / file, drawing)
        lines += ["", f"![{title.rstrip('.')}: {name}]({file})"]
    return lines


def _target_row(target: Target, outcome: Outcome) -> str:
    value = target.measured(outcome.result)
    measured = "not measured" if value is None else f"{_number(value)} {target.unit}".strip()
    return f"| {target.label} | {_limit(target)} | {measured} | {'yes' if target.met(outcome.result) else '**no**'} |"


def _limit(target: Target) -> str:
    return f"{'>=' if target.bound == 'at least' else '<='} {_number(target.limit)} {target.unit}".strip()


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4g}" if abs(value) < 1e3 else f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.1e}"


def _targets(outcome: Outcome) -> tuple[Target, ...]:
    return tuple(outcome.module.TARGETS)


def _command(path: Path, outcomes: Sequence[Outcome]) -> str:
    from benchmarks.harness import names

    chosen = [outcome.name for outcome in outcomes]
    page = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    return " ".join(["unboxed bench", *(chosen if tuple(chosen) != names() else []), f"--write {page}"])


def _machine() -> list[str]:
    cards = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return [
        f"Machine: {_processor()}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} "
        f"threads, Python {platform.python_version()}, {', '.join(cards) if cards else 'no GPU'}."
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
