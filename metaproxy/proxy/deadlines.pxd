cimport cython

cdef class Deadlines:
    cdef public object _clock
    cdef public object _timer
    cdef public dict _waiting
    cdef public object forget
    cdef public double timeout
    cpdef watch(self, exchange)

cdef class DeadlineQueues:
    cdef public object _clock
    cdef public Deadlines _last
    cdef public dict _queues
    @cython.locals(queue=Deadlines)
    cpdef of(self, double timeout)
