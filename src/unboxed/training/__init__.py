"""Training: `fit` makes a run from a dataset; `train` is the loop for your own models and data loaders.

    grounder = fit("ckd", CKD(), FitSettings(data=Path("data.toml"), out=Path("run")))

    best = train(model, Schedule(epochs=4), training, validation, Path("run"))   # SplitLoaders; any TrainableModel

A training step without either is plain PyTorch:

    losses = model.loss(batch, TrainingStep(step, steps))           # of a PairedBatch
    losses["loss"].backward()
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
