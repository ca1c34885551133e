"""Released checkpoints of the original codes, converted to runs.

    grounder = convert(Path("model_best.pth.tar"), ConvertSettings(Path("run"), vocab=Path("f30k_precomp_vocab.json")))

There is one file for each original, which describes its layout and names the tensors of both models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
