"""An index of images: each image is encoded once, and then found by a sentence, with the boxes that match it.

    index_images(Path("run"), Path("images"), Path("index"))          # builds the index, or updates it
    index = Index.open("index")
    for hit in index.search("a man holding a guitar", k=3):            # best first
        print(hit.name, hit.score, hit.phrases[0].boxes[0])            # box: x1, y1, x2, y2 in pixels
    index.captions_for("party.jpg", k=3)[0].caption

The index works for every recipe, because it scores with the model itself. Above 1,000 images it first finds candidates
by a low-rank approximation of the scores (`LowRankScores`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
