cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.proxy.upstream cimport Upstream

cdef class IdUpstream(Upstream):
    cdef public object _max_id
    cdef public object _next_id
    cdef public dict _pending
    @cython.locals(message=Message, out=list, pending=dict)
    cpdef _start(self, Attempt attempt)
    @cython.locals(message=Message, attempt=Attempt, pending=dict)
    cpdef dataReceived(self, data)
