# cython: language_level=3, boundscheck=False, wraparound=False
"""
In which bucket of a histogram a duration is counted: `bisect_left` over the bounds, which are C numbers here.

Lives here: `bucket_of`, and what it was told of. Does not: the bounds (`counts`).
"""

cdef enum:
    MOST = 1024

cdef double[MOST] BOUNDS
cdef Py_ssize_t COUNT = 0


def use(bounds):
    """Raises ValueError when there are too many."""
    global COUNT
    if len(bounds) > MOST:
        raise ValueError(f"{len(bounds)} bounds; allowed are {MOST}")
    for place, bound in enumerate(bounds):
        BOUNDS[place] = bound
    COUNT = len(bounds)


def bucket_of(double duration):
    """duration: seconds. The place of the first bound that is not below it; how many there are, where all are."""
    cdef Py_ssize_t low = 0, high = COUNT, middle
    while low < high:
        middle = (low + high) >> 1
        if BOUNDS[middle] < duration:
            low = middle + 1
        else:
            high = middle
    return low
