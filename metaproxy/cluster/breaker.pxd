cimport cython

cdef class Breaker:
    cdef public long long connections
    cdef public long long max_connections
    cdef public long long max_pending
    cdef public long long max_requests
    cdef public long long max_retries
    cdef public long long pending
    cdef public long long requests
    cdef public long long retries
    cdef public object retry_budget
