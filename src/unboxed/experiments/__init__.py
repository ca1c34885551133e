"""Comparisons of recipes over seeds and datasets, and the claims of the papers tested on them.

settings = CompareSettings(data=(Path("flickr.toml"),), out=Path("comparison"), recipes=("infoground", "ckd"))
    comparison = compare(settings, show=print)           # trains what is missing, writes comparison/results.md
    comparison.best.recipe                               # by recall_any@1, or rsum without gold boxes
    (dataset,) = comparison.datasets
    dataset.recipes[0].metrics["recall_any@1"].interval()    # (low, high) in percent
    dataset.differences("rsum")                          # paired differences to the best recipe
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
