cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.proxy.upstream cimport Upstream

cdef class FifoUpstream(Upstream):
    cdef public object _cleared_for
    cdef public object _given_up
    cdef public object _next
    cdef public object _patience
    cdef public object _pending
    cdef public object _put
    @cython.locals(message=Message, out=list)
    cpdef _start(self, Attempt attempt)
    @cython.locals(message=Message, attempt=Attempt)
    cpdef dataReceived(self, data)
