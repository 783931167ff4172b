"""Kernels: compiled loops over Arrow's buffers, and what is built of them."""

from curate.startup import without_blas
from curate.store.near import kernels_near

kernels_near()
without_blas()
