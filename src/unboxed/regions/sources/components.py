"""Connected components of a map of classes, without SciPy, which takes longer to load than an image to look at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["components"]


def components(class_YX: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Which component each cell belongs to, `[Y, X]`: cells of one class that touch at an edge are of one component.

    Components are numbered from 0 in the reading order of their first cells.
    """
    own_YX = np.arange(class_YX.size).reshape(class_YX.shape)
    down, across = class_YX[1:] == class_YX[:-1], class_YX[:, 1:] == class_YX[:, :-1]
    while True:
        before = own_YX
        own_YX = before.copy()
        # Each cell takes the lowest number next to it, and then the number of the cell that has that number.
        np.minimum(own_YX[1:], before[:-1], out=own_YX[1:], where=down)
        np.minimum(own_YX[:-1], before[1:], out=own_YX[:-1], where=down)
        np.minimum(own_YX[:, 1:], before[:, :-1], out=own_YX[:, 1:], where=across)
        np.minimum(own_YX[:, :-1], before[:, 1:], out=own_YX[:, :-1], where=across)
        own_YX = own_YX.ravel()[own_YX]
        if np.array_equal(own_YX, before):
            return np.unique(own_YX, return_inverse=True)[1].reshape(class_YX.shape)
