"""The words of groundings as what `attention` scores, and the scores by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import AttendedWord, AttentionProtocol, AttentionScores, score_attention
from unboxed.evaluation.bootstrap import PerImageMetric
from unboxed.evaluation.evaluate import GroundedExample
from unboxed.text.phrases import head_noun

__all__ = ["attended_words", "attention_metrics", "score_words"]


def attended_words(item: GroundedExample) -> Iterator[AttendedWord]:
    """Every word of every phrase of an image; none where it has no regions. A noun is a phrase's head noun."""
    if not item.groundings:
        return
    for number, (caption, grounding) in enumerate(zip(item.example.captions, item.groundings, strict=True)):
        boxes = grounding.regions.boxes
        for place, phrase in enumerate(caption.phrases):
            inside = [w for w, (start, end) in enumerate(grounding.words) if start < phrase.end and end > phrase.start]
            head = head_noun(phrase.text).lower()
            for w in inside:
                start, end = grounding.words[w]
                yield AttendedWord(
                    image_id=item.example.image_id,
                    phrase=(number, place),
                    weights_R=grounding.attention_WR[w],
                    boxes_R4=boxes,
                    gold_boxes_N4=phrase.boxes,
                    is_last=w == inside[-1],
                    is_noun=caption.text[start:end].lower() == head,
                )


def score_words(
    grounded: Iterable[GroundedExample], protocol: AttentionProtocol | None = None
) -> AttentionScores | None:
    """Attention precision, recall and F1 of all words, or None where no word can be scored."""
    try:
        return score_attention((word for item in grounded for word in attended_words(item)), protocol)
    except EvaluationError:
        return None


def attention_metrics(
    grounded: Iterable[GroundedExample], protocol: AttentionProtocol | None = None
) -> dict[str, PerImageMetric]:
    """`attention_precision`, `attention_recall` and `attention_f1` (the mean of the words' own) by image.

    Nothing where no word can be scored. The protocol averages over words.

    Raises:
        EvaluationError: a protocol that averages over something else.
    """
    protocol = protocol or AttentionProtocol()
    if protocol.average_over != "words":
        raise EvaluationError(f"A tally is an average over words, not over {protocol.average_over}.")
    ids: list[str] = []
    sums: list[Sequence[float]] = []
    for item in grounded:
        try:
            scores = score_attention(attended_words(item), protocol, resamples=1)
        except EvaluationError:  # no word of this image can be scored
            continue
        ids.append(item.example.image_id)
        sums.append([scores[name] / 100 * scores.words for name in ("precision", "recall", "mean_f1")] + [scores.words])
    if not ids:
        return {}
    sums_I4 = np.array(sums, dtype=np.float64)
    return {
        f"attention_{name}": PerImageMetric(tuple(ids), sums_I4[:, x : x + 1], sums_I4[:, 3:])
        for x, name in enumerate(("precision", "recall", "f1"))
    }
