cimport cython
from metaproxy.filters.rate_limit.token_bucket cimport Bucket

cdef class CommonCase:
    cdef public Bucket _only
    cdef public dict counters
    @cython.locals(bucket=Bucket)
    cpdef on_request(self, exchange)
