cimport cython

cdef class Deadlines:
    cdef public object _clock
    cdef public object _timer
    cdef public dict _waiting
    cdef public object forget
    cdef public object timeout
    cpdef watch(self, exchange)

cdef class DeadlineQueues:
    cdef public object _clock
    cdef public dict _queues
    cpdef of(self, timeout)
