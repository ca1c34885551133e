from .constraints import ccr_loss, ccs_loss, sample_swaps
from .contrastive import (
    caption_image_infonce,
    contrast,
    image_caption_infonce,
    intra_caption_contrast,
    negative_word_infonce,
    npair_loss,
    word_image_infonce,
    word_npair,
)
from .corrections import right_regions
from .difference import caption_cosines, hardest_image, image_of_most_similar, score_difference
from .distill import distillation
from .triplet import triplet_loss

__all__ = [
    "caption_cosines",
    "caption_image_infonce",
    "ccr_loss",
    "ccs_loss",
    "contrast",
    "distillation",
    "hardest_image",
    "image_caption_infonce",
    "image_of_most_similar",
    "intra_caption_contrast",
    "negative_word_infonce",
    "npair_loss",
    "right_regions",
    "sample_swaps",
    "score_difference",
    "triplet_loss",
    "word_image_infonce",
    "word_npair",
]
