"""The words of groundings as what `attention` scores, and the scores by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unboxed.errors import EvaluationError
from unboxed.evaluation.attention import AttendedWord, AttentionScores, attention_per_image, score_attention
from unboxed.evaluation.attention_protocol import AttentionProtocol
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
    """`attention_per_image` of all words of the groundings."""
    return attention_per_image((word for item in grounded for word in attended_words(item)), protocol)
