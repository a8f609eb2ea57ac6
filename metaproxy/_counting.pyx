# cython: language_level=3, boundscheck=False, wraparound=False
"""
How an exchange that has ended is counted: numbers of C, and those of one turn together.

What counts for a route is most often in no cache of the processor where there are many routes, and each step, from the
counts to their histogram to its buckets, would be waited for. Of many exchanges at a time the processor waits for all
at once.

Lives here: `count_ended`, `hold`, `settle`, `bucket_of`, `grown`, and the bounds they were told. Does not: what is
counted, and the same in Python (`counts`).
"""

from cpython.array cimport array
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from metaproxy.counts cimport Histogram, TargetCounts

cdef enum:
    MOST = 1024
    AT_ONCE = 256

cdef double[MOST] BOUNDS
cdef Py_ssize_t COUNT = 0

cdef struct Ended:
    PyObject *counts
    PyObject *latency
    PyObject *buckets
    long long *numbers
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


def hold():
    global holding
    holding = True


def settle():
    global holding
    holding = False
    add_held()


def count_ended(
    TargetCounts counts not None, outcome, long long request_bytes, long long response_bytes, double duration,
    Histogram of_endpoint,
):
    global number
    cdef Py_ssize_t bucket = bucket_of(duration)
    if of_endpoint is not None:
        of_endpoint.buckets.data.as_longlongs[bucket] += 1
        of_endpoint.total += duration
    cdef bint well = outcome == "ok"
    if not well:
        counts.count(outcome)
    if number == AT_ONCE:
        add_held()
    cdef Ended *one = &held[number]
    Py_INCREF(counts)
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
    """One step of all, then the next: no step waits for the one before it."""
    global number
    cdef Py_ssize_t place, many = number
    cdef Ended *one
    for place in range(many):
        one = &held[place]
        (<TargetCounts> one.counts)._ok += one.well
        (<TargetCounts> one.counts).request_bytes += one.request_bytes
        (<TargetCounts> one.counts).response_bytes += one.response_bytes
        one.latency = <PyObject *> (<TargetCounts> one.counts).latency
    for place in range(many):
        one = &held[place]
        (<Histogram> one.latency).total += one.duration
        one.buckets = <PyObject *> (<Histogram> one.latency).buckets
    for place in range(many):
        one = &held[place]
        one.numbers = (<array> one.buckets).data.as_longlongs
    for place in range(many):
        one = &held[place]
        one.numbers[one.bucket] += 1
    number = 0
    for place in range(many):
        Py_DECREF(<object> held[place].counts)
