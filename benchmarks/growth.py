"""Growth of scoring with images x captions.

SCAN t2i on the CPU: 36 regions, captions of 8 to 20 words, width 1024, five captions per image, from 10^4 to 10^8
pairs, each size in a separate process. Up to 10^6 pairs all are scored. Beyond that only some of the captions are
scored: `seconds` is scaled to all captions, and memory is the measured memory plus the size of the missing scores;
these are the hollow dots. Memory is the highest resident size of the process above its inputs, including the scores.

`coco` is 5,000 images x 25,000 captions in both directions, whose blocks are the largest: all inputs are in memory,
scoring is stopped after some seconds, when blocks of all kinds have been computed, and the size of all scores is added
to the measured memory.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

import torch

from benchmarks.drawing import Point, log_log
from benchmarks.harness import Result, Target
from benchmarks.inputs import random_embeddings
from benchmarks.memory import cost
from unboxed.attention.chunked_scores import score_matrix
from unboxed.attention.cosine_attention import AttentionScorer

TARGETS = (Target("5,000 x 25,000: peak above the inputs", "coco.peak_gb", "at most", 2, "GB"),)

_FULL, _PART = 1_000_000, 1_500_000  # pairs up to which all are scored, and the number that is scored of more
_SECONDS = 20


def measure(show: Callable[[str], None]) -> Result:
    """Seconds and memory of each size; scaled sizes are listed separately."""
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
    """Plots of time and memory over the number of pairs."""
    return {
        "seconds": log_log("Seconds", "images x captions", "seconds", _points(result, "seconds")),
        "memory": log_log("Memory above the inputs", "images x captions", "MB", _points(result, "peak_mb")),
    }


def scoring(images: str, captions: str) -> Callable[[], object]:
    """Scoring of all pairs, for `memory.cost`."""
    embeddings = random_embeddings(int(images), int(captions))
    pairs = embeddings.regions_BRD, embeddings.mask_BR, embeddings.words_CWD, embeddings.mask_CW
    score_matrix(AttentionScorer.scan("t2i"), *(part[:2] for part in pairs))  # loads what is loaded only once
    return torch.inference_mode()(lambda: score_matrix(AttentionScorer.scan("t2i"), *pairs))


def scoring_coco() -> Callable[[], object]:
    """Scoring that stops after some seconds, for `memory.cost`."""
    embeddings = random_embeddings(5000, 25000)
    pairs = embeddings.regions_BRD, embeddings.mask_BR, embeddings.words_CWD, embeddings.mask_CW

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
