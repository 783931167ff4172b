"""Kernels: compiled loops over Arrow's buffers, and what is built of them."""

from curate.startup import compile_once, without_blas
from curate.store.near import kernels_near

kernels_near()
without_blas()
compile_once()
