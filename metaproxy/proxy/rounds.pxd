cimport cython

from metaproxy.proxy.flush_queue cimport FlushQueue

cdef class Rounds:
    cdef public object _poll
    cdef public bint _reactor_ready
    cdef public object _seconds
    cdef public FlushQueue _turn
    cdef public object wait
    cpdef iterate(self, delay)
    cpdef note_reactor(self)
    @cython.locals(few=Py_ssize_t, left=Py_ssize_t, ready=Py_ssize_t, late=bint, until=double, turn=FlushQueue)
    cpdef see_to_ready(self, delay, few)
