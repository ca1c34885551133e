"""Inference with a trained run: grounding, scores, retrieval and embeddings.

    grounder = Grounder.load("run")
    grounding = grounder.ground("photo.jpg", "A man in a red shirt plays a guitar.")
    grounding.phrases[0].boxes                                      # [N, 4] pixels, best first

Images and captions are encoded once each, and compared as often as needed:

    images = grounder.encode_images(["a.jpg", "b.jpg"])             # B = 2
    captions = grounder.encode_captions(["a dog", "two men", "a tree"])   # C = 3
    alignment = grounder.align(images, captions)
    alignment.score_BC, alignment.similarity_BCQR, alignment.attention_BCQR
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
