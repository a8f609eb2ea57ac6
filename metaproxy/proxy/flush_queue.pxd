cimport cython
from metaproxy.counts cimport Counter
from metaproxy.proxy.socket_protocol cimport SocketProtocol

cdef Counter counter

cdef class FlushQueue:
    cdef public object _clock
    cdef public list _dirty
    cdef public bint _scheduled
    cdef public bint _turning
    cdef public double now
    cpdef add(self, SocketProtocol connection)
    @cython.locals(connection=SocketProtocol, dirty=list)
    cpdef flush(self)
    cpdef begin(self)
    cpdef end(self)
