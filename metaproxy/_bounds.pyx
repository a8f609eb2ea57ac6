# cython: language_level=3, boundscheck=False, wraparound=False
"""
How a duration is added to a histogram: `bisect_left` over the bounds, and buckets, all of which are C numbers here.

Lives here: `bucket_of`, `count_duration`, and what they were told of. Does not: the bounds, the same in Python (`counts`).
"""

from metaproxy.counts cimport Histogram

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


cpdef Py_ssize_t bucket_of(double duration) noexcept:
    """duration: seconds. The place of the first bound that is not below it; how many there are, where all are."""
    cdef Py_ssize_t low = 0, high = COUNT, middle
    while low < high:
        middle = (low + high) >> 1
        if BOUNDS[middle] < duration:
            low = middle + 1
        else:
            high = middle
    return low


cdef void add(Histogram histogram, Py_ssize_t bucket, double duration) noexcept:
    histogram.buckets.data.as_longlongs[bucket] += 1
    histogram.total += duration


def count_duration(double duration, Histogram latency not None, Histogram other):
    """duration: seconds; other: None for nothing besides."""
    cdef Py_ssize_t bucket = bucket_of(duration)
    add(latency, bucket, duration)
    if other is not None:
        add(other, bucket, duration)
