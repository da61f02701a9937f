"""An allocator that keeps what is freed, because a training step asks for the same memory again and again."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tells glibc to give no freed memory back while this process lives; False where there is no glibc.

    By default every large tensor is fresh memory that the system first fills with zeros, page by page: a fifth of
    a training step of ZFNet at 224 on one core. The process stays as large as it was at its largest.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
