# cython: language_level=3, boundscheck=False, wraparound=False
"""
How an exchange that has ended is counted: numbers of C, at the end of a turn.

Where there are many routes, what counts for one is in no cache of the processor, and each step, to the counts and from
them to their buckets, would be waited for. So they are asked for when an exchange has ended, and written to when its
answer, and those of others, have been sent.

Lives here: `HoldingCounter`, `bucket_of`, `grown`, and the bounds that they use. Does not: what is counted, and the
same in Python (`counts`).
"""

from cpython.array cimport array
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from metaproxy.counts cimport Counter, Histogram, TargetCounts

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define FETCH(place) __builtin_prefetch((place), 1)
    #else
    #define FETCH(place) ((void) 0)
    #endif
    """
    void FETCH(void *place) noexcept

cdef enum:
    MOST = 1024
    AT_ONCE = 256

cdef double[MOST] BOUNDS
cdef Py_ssize_t COUNT = 0

cdef struct Ended:
    PyObject *counts
    Py_ssize_t bucket
    double duration
    bint well
    long long request_bytes
    long long response_bytes

cdef Ended[AT_ONCE] held
cdef Py_ssize_t number = 0
cdef bint holding = False


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


def grown(array now not None, array before not None):
    """What numbers of 64 bits in `now` are more than those in `before`: place -> how much, where they are."""
    cdef Py_ssize_t place
    cdef long long more
    if now.ob_descr.typecode != b"q" or before.ob_descr.typecode != b"q" or len(now) != len(before):
        raise ValueError("two arrays of as many numbers of 64 bits are compared")
    cdef dict found = {}
    for place in range(len(now)):
        more = now.data.as_longlongs[place] - before.data.as_longlongs[place]
        if more:
            found[place] = more
    return found


cdef class HoldingCounter(Counter):
    """See `counts.Counter`: what has ended waits until AT_ONCE exchanges do, or for `settle`."""

    cpdef hold(self):
        global holding
        holding = True

    cpdef fetch(self):
        """Have the processor read what `settle` will write to."""
        cdef Py_ssize_t place
        cdef Ended *one
        cdef TargetCounts counts
        for place in range(number):
            one = &held[place]
            counts = <TargetCounts> one.counts
            if counts.numbers != NULL:
                FETCH(counts.numbers + one.bucket)

    cpdef settle(self):
        global holding
        holding = False
        add_held()

    cpdef ended(
        self, TargetCounts counts, outcome, long long request_bytes, long long response_bytes, double duration,
        Histogram of_endpoint,
    ):
        global number
        if counts is None:
            raise TypeError("counts: a TargetCounts is wanted, not None")
        cdef Py_ssize_t bucket = bucket_of(duration)
        if of_endpoint is not None:
            of_endpoint.buckets.data.as_longlongs[bucket] += 1
            of_endpoint.total += duration
        cdef bint well = outcome == "ok"
        if not well:
            counts.count(outcome)
        while number == AT_ONCE:
            add_held()
        cdef Ended *one = &held[number]
        Py_INCREF(counts)
        FETCH(&counts.numbers)
        one.counts = <PyObject *> counts
        one.bucket = bucket
        one.well = well
        one.duration = duration
        one.request_bytes = request_bytes
        one.response_bytes = response_bytes
        number += 1
        if not holding:
            add_held()


cdef void add_held():
    """Counts what waits."""
    global number
    cdef Py_ssize_t place, many = number
    cdef PyObject *done[AT_ONCE]
    cdef Ended *one
    cdef TargetCounts counts
    for place in range(many):
        one = &held[place]
        counts = <TargetCounts> one.counts
        counts._ok += one.well
        counts.request_bytes += one.request_bytes
        counts.response_bytes += one.response_bytes
        counts._seconds += one.duration
        if counts.numbers == NULL:  # they stay where they are, see counts.Histogram
            counts.numbers = counts._buckets.data.as_longlongs
        counts.numbers[one.bucket] += 1
        done[place] = one.counts
    number = 0  # first: what is freed may run code that counts
    for place in range(many):
        Py_DECREF(<object> done[place])
