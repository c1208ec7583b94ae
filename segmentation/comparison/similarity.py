"""The map from one survey's places to another's: shift, rotation and scale in a metric plane."""

from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, radians, sin

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Similarity:
    """(x, y) in metres → scale · R(rotation) · (x, y) + shift; the plane's origin is the middle of the structure.

    >>> Similarity(2.0, 90.0, 1.0, 0.0).of(np.array([[1.0, 0.0]])).round(9).tolist()
    [[1.0, 2.0]]
    """

    scale: float
    """Lengths of the second survey over those of the first."""
    rotation_deg: float
    """From x towards y."""
    shift_x_m: float
    """Where the origin goes to, along x."""
    shift_y_m: float
    """Where the origin goes to, along y."""

    @property
    def shift_m(self) -> float:
        """How far the origin goes."""
        return hypot(self.shift_x_m, self.shift_y_m)

    def matrix(self) -> Matrix:
        """The homogeneous matrix ``(3, 3)``."""
        a = self.scale * cos(radians(self.rotation_deg))
        b = self.scale * sin(radians(self.rotation_deg))
        return np.array([[a, -b, self.shift_x_m], [b, a, self.shift_y_m], [0.0, 0.0, 1.0]])

    def of(self, points: Points) -> Points:
        """Points ``(N, 2)`` in metres, mapped."""
        matrix = self.matrix()
        moved: Points = points @ matrix[:2, :2].T + matrix[:2, 2]
        return moved

    def of_geometry(self, geometry: BaseGeometry) -> BaseGeometry:
        """A geometry in metres, mapped."""
        return shapely.transform(geometry, self.of)

    def after(self, first: "Similarity") -> "Similarity":
        """`first`, then this."""
        return similarity_of(self.matrix() @ first.matrix())

    def inverse(self) -> "Similarity":
        """The way back."""
        return similarity_of(np.asarray(np.linalg.inv(self.matrix()), np.float64))


IDENTITY = Similarity(1.0, 0.0, 0.0, 0.0)


def similarity_of(matrix: Matrix) -> Similarity:
    """The similarity of a homogeneous matrix ``(3, 3)`` without shear or mirror."""
    a, b = float(matrix[0, 0]), float(matrix[1, 0])
    return Similarity(hypot(a, b), degrees(atan2(b, a)), float(matrix[0, 2]), float(matrix[1, 2]))
