cimport cython
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.counts cimport EndpointCounts
from metaproxy.proxy.flush_queue cimport FlushQueue
from metaproxy.proxy.socket_protocol cimport SocketProtocol

cdef class ServerConnection(SocketProtocol):
    cdef public bint _attentive
    cdef public EndpointCounts _counts
    cdef public object _facts
    cdef public bint _full
    cdef public bint _limited
    cdef public object _login
    cdef public list _out
    cdef public object _pends
    cdef public object _pushing
    cdef public bint _ready
    cdef public bint _retiring
    cdef public object _send
    cdef public object _session
    cdef public bint _spoilt
    cdef public bint _starting
    cdef public object _stuck
    cdef public FlushQueue _turn
    cdef public object _waiting
    cdef public bint alive
    cdef public bint choked
    cdef public object companions
    cdef public Endpoint endpoint
    cdef public object holder
    cdef public double idle_since
    cdef public object lease
    cdef public double opened
    cdef public object paused_by
    cdef public object pool
    cdef public object profile
    cdef public long long requests
    cdef public bint reserved
    cdef public object transport
    cdef public bint usable
    cpdef flush(self)
    cpdef _write(self, data)
