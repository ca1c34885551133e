"""Metrics of grounding, retrieval, attention and heat maps, with bootstrap intervals over images.

The metrics take boxes and scores as NumPy arrays, so they work with the predictions of any model:

    mention = GroundedMention(
        image_id="1.jpg",
        types=("people",),
        gold_boxes=gold_boxes_N4,                # pixels, x1 y1 x2 y2
        ranked_boxes=boxes_M4,                   # the answer, best first
        proposal_boxes=boxes_R4,                 # what the answer was chosen from
    )
    scores = score_grounding([mention, ...])     # scores["recall_any@1"], scores.intervals["recall_any@1"]

    retrieval = score_retrieval(score_BC, image_of_C)      # retrieval.rsum, retrieval.image_to_caption[1]
    attention = score_attention([AttendedWord(...), ...])  # attention["precision"]

    # Two models on the same images, with the interval of their difference:
    paired_difference(scores.per_image()["recall_any@1"], others.per_image()["recall_any@1"])

`evaluate_run` computes all of them for a trained run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
