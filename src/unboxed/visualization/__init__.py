"""Pictures of what a model found, and charts of its training. Nothing here needs PyTorch.

    picture = draw_grounding(image, "A dog chases a ball.", grounding.phrases)     # PIL images in and out
    save_picture(Path("dog.png"), picture)

    heat_HW = heat_map(regions.boxes, attention_R, extent=image.size, size=image.size)      # [H, W] in [0, 1]
    overlay_HW3 = heat_colours(heat_HW)                                                     # RGB in 0..255

`draw_grounding` takes any object with a text, a span and boxes for a phrase (`BoxedPhrase`).
"""

from unboxed.visualization.curves import Chart, Curve, Tick, epoch_charts, precision_recall_chart, training_charts
from unboxed.visualization.draw import (
    PALETTE,
    BoxedPhrase,
    caption_strip,
    draw_boxes,
    draw_grounding,
    phrase_colours,
    save_picture,
)
from unboxed.visualization.heat import heat_colours, heat_map
from unboxed.visualization.notebook import grounding_html, grounding_png

__all__ = [
    "PALETTE",
    "BoxedPhrase",
    "Chart",
    "Curve",
    "Tick",
    "caption_strip",
    "draw_boxes",
    "draw_grounding",
    "epoch_charts",
    "grounding_html",
    "grounding_png",
    "heat_colours",
    "heat_map",
    "phrase_colours",
    "precision_recall_chart",
    "save_picture",
    "training_charts",
]
