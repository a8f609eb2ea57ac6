cimport cython
from metaproxy.counts cimport EndpointCounts

cdef class Endpoint:
    cdef public long long active
    cdef public object address
    cdef public object checked
    cdef public object configured_metadata
    cdef public object configured_weight
    cdef public EndpointCounts counts
    cdef public object doubted
    cdef public object drained
    cdef public object ejected_until
    cdef public object ejections
    cdef public object fresh
    cdef public object healthy
    cdef public object lag
    cdef public object learnt
    cdef public object logged_off_until
    cdef public object metadata
    cdef public object monitor
    cdef public object pool
    cdef public object priority
    cdef public object started
    cdef public object weight
    cdef public object zone
    cdef object __weakref__
