"""Regions: where in an image a phrase may be, and how each place looks.

Sources propose boxes (`detectors`, `segmenter`, `segments`, `grid`, `persons`), `extractor` joins them and adds
evidence and features, `store` keeps them, `extraction` fills a store from a whole dataset.
"""
