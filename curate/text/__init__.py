"""Kernels: compiled loops over Arrow's buffers, and what is built of them."""

from curate.startup import without_blas

without_blas()
