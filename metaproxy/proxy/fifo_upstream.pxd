cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.upstream cimport Upstream

cdef class FifoUpstream(Upstream):
    cdef public object _cleared_for
    cdef public object _given_up
    cdef public object _patience
    cdef public object _pending
    @cython.locals(message=Message, out=list)
    cpdef _start(self, attempt)
    @cython.locals(message=Message)
    cpdef dataReceived(self, data)
