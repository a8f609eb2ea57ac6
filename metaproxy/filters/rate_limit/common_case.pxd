cimport cython
from metaproxy.filters.rate_limit.token_bucket cimport Bucket, Filling

cdef class CommonCase:
    cdef public Filling _filling
    cdef public Bucket _only
    cdef public dict counters
    @cython.locals(bucket=Bucket, now=double)
    cpdef on_request(self, exchange)
