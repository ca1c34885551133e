"""How scoring grows with images x captions.

SCAN t2i on the CPU: 36 regions, captions of 8 to 20 words, width 1024, five captions for each image, from 10^4 to 10^8
pairs, each size in a process of its own. Up to 10^6 pairs everything is scored. Beyond, only some of the captions are:
`seconds` is then scaled to all of them, and memory is what was measured plus the rest of the scores; these are the
hollow dots. Memory is the process's highest resident size above its inputs, the scores included.

`coco` is 5,000 images x 25,000 captions in both directions, whose blocks take more: all inputs are there, scoring is
stopped after some seconds, when blocks of every kind have come by, and all scores are added to what was measured.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

import torch

from benchmarks.drawing import Point, log_log
from benchmarks.harness import Result, Target
from benchmarks.inputs import draw
from benchmarks.memory import cost
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer

TARGETS = (Target("5,000 x 25,000: peak above the inputs", "coco.peak_gb", "at most", 2, "GB"),)

_FULL, _PART = 1_000_000, 1_500_000  # pairs that are all scored at most, and the part of more
_SECONDS = 20


def measure(show: Callable[[str], None]) -> Result:
    """Seconds and memory of each size; sizes that were measured in part are listed apart."""
    result: Result = {"seconds": {}, "peak_mb": {}, "seconds_scaled": {}, "peak_mb_scaled": {}}
    for power in range(4, 9):
        images = round((10**power / 5) ** 0.5)
        captions = 5 * images
        scored = captions if images * captions <= 1.1 * _FULL else _PART // images
        found = cost("growth", "scoring", str(images), str(scored))
        seconds = found.seconds * captions / scored
        peak_mb = (found.peak_bytes + 4 * images * (captions - scored)) / 1e6
        scaled = "" if scored == captions else "_scaled"
        result[f"seconds{scaled}"][f"1e{power}"] = seconds
        result[f"peak_mb{scaled}"][f"1e{power}"] = peak_mb
        show(f"{images:,} x {captions:,}: {seconds:.3g} s, {peak_mb:,.0f} MB" + (" (scaled)" if scaled else ""))
    peak_gb = (cost("growth", "scoring_coco").peak_bytes + 4 * 5000 * 25000) / 1e9
    show(f"5,000 x 25,000, both directions: {peak_gb:.2f} GB above the inputs")
    return {**result, "coco": {"peak_gb": peak_gb}}


def plots(result: Result) -> Mapping[str, str]:
    """Time and memory over the number of pairs."""
    return {
        "seconds": log_log("Seconds", "images x captions", "seconds", _points(result, "seconds")),
        "memory": log_log("Memory above the inputs", "images x captions", "MB", _points(result, "peak_mb")),
    }


def scoring(images: str, captions: str) -> Callable[[], object]:
    """For `memory.cost`: all of them."""
    codes = draw(int(images), int(captions))
    pairs = codes.regions_BRD, codes.mask_BR, codes.words_CWD, codes.mask_CW
    score_matrix(AttentionScorer.scan("t2i"), *(part[:2] for part in pairs))  # what is loaded once is no growth
    return torch.inference_mode()(lambda: score_matrix(AttentionScorer.scan("t2i"), *pairs))


def scoring_coco() -> Callable[[], object]:
    """For `memory.cost`: as far as some seconds reach."""
    codes = draw(5000, 25000)
    pairs = codes.regions_BRD, codes.mask_BR, codes.words_CWD, codes.mask_CW

    def stop(*_: object) -> None:
        raise TimeoutError

    @torch.inference_mode()
    def work() -> None:
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(_SECONDS)
        try:
            score_matrix(AttentionScorer.bfan("prob"), *pairs)
        except TimeoutError:
            pass
        finally:
            signal.alarm(0)

    return work


def _points(result: Result, name: str) -> list[Point]:
    measured = [Point(float(size), value) for size, value in result[name].items()]
    return measured + [Point(float(size), value, False) for size, value in result[f"{name}_scaled"].items()]
