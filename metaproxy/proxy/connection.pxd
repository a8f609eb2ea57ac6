cimport cython
from metaproxy.proxy.socket_calls cimport SocketCalls
from metaproxy.proxy.socket_protocol cimport SocketProtocol

cdef class Connection:
    cdef public bint _broken
    cdef public SocketCalls _calls
    cdef public bint _closing
    cdef public bint _end_seen
    cdef public bint _ended
    cdef public int _events
    cdef public int _fd
    cdef public bint _finished
    cdef public object _network
    cdef public object _out
    cdef public Py_ssize_t _read_size
    cdef public SocketProtocol _reader
    cdef public object _socket
    cdef public bint _waiting_for_room
    cdef public bint _want_read
    cdef public Py_ssize_t buffered
    cdef public object facts
    cdef public object host
    cdef public object peer
    cdef public object producer
    cdef public object protocol
    cdef object __weakref__
    @cython.locals(calls=SocketCalls)
    cpdef read(self)
    @cython.locals(sent=Py_ssize_t, calls=SocketCalls)
    cpdef write(self, data)
    cpdef writeSequence(self, pieces)
    @cython.locals(taken=Py_ssize_t, calls=SocketCalls)
    cpdef _write_pieces(self, pieces)
