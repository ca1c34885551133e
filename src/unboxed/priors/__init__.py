"""The semantic prior: scores of phrases and regions from class names, before any training.

For a caption with P phrases and the R regions of an image, whose class probabilities `[R, K]` a detector gave:

    prior = SemanticPrior.build(PriorSettings(), regions.class_names)
    affinity_PE = np.stack([prior.affinity(phrase) for phrase in ("a man", "two dogs")])
    class_score_RE = prior.class_scores(regions)
    scores(affinity_PE, class_score_RE)                                      # [P, R] in [0, 1]; torch tensors work too
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
