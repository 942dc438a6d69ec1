"""Gaussian filtering of N points in D dimensions: on the permutohedral lattice, and exactly.

Knows nothing of images, labels or CRFs. The derivations are in `NOTES.md` beside this file.
"""

from crfrnn.lattice.exact import exact_gaussian_filter
from crfrnn.lattice.lattice import Lattice, permutohedral_filter
from crfrnn.lattice.stack import LatticeStack

__all__ = ["Lattice", "LatticeStack", "exact_gaussian_filter", "permutohedral_filter"]
