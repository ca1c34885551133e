"""Boxes as annotations in the formats of other tools, and runs as ONNX graphs.

    groundings = [grounder.ground(path, caption) for path, caption in pairs]
    selection = select_boxes(groundings, names, SelectionOptions(top=1))       # names: of the images, one a grounding
    content = coco.dataset(selection)                                          # also csv.text, yolo.files, …

    export_onnx(grounder, Path("exported"))                                    # four graphs, checked against PyTorch
    exported = Exported.open("exported")                                       # needs no PyTorch

`label_dataset` does the first three for a whole dataset (`unboxed label`); `FORMATS` are the formats that it writes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
