"""Boxes in the formats of other tools, one file a format, and a model as ONNX graphs.

The functions of a format take groundings and the names of their images, one a grounding; several groundings may
share an image. Which boxes are taken, and under which names, `boxes.BoxChoice` says.
"""
