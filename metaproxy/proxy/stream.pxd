cimport cython
from metaproxy.message cimport Chunk, Message

cdef class Half:
    cdef public bint blocked
    cdef public long long bytes
    cdef public long long chunks
    cdef public object collected
    cdef public bint deciding
    cdef public bint ended
    cdef public bint open
    cdef public long long owing
    cdef public long long pieces
    cdef public object queue
    cdef public long long queued
    cdef public bint stopped
    cpdef take(self, Chunk chunk)
    cpdef keep(self, Chunk chunk)
    cpdef next(self)
    cpdef credited(self)
    cpdef relieved(self)

cdef class Stream:
    cdef public bint _asked_for
    cdef public bint _awaits_head
    cdef public object _counts
    cdef public long long _dropped
    cdef public Message _head
    cdef public object _moved
    cdef public bint _sent
    cdef public object _timer
    cdef public object attempt
    cdef public bint begun
    cdef public object client
    cdef public object copies
    cdef public Half down
    cdef public object exchange
    cdef public bint failed
    cdef public double first_byte
    cdef public object id
    cdef public bint over
    cdef public object replay
    cdef public long long replay_size
    cdef public Half up
    cdef object __weakref__
    @cython.locals(half=Half)
    cpdef from_client(self, Chunk chunk)
    @cython.locals(half=Half)
    cpdef from_server(self, Chunk chunk)
    cpdef _pass_up(self, Chunk chunk)
    cpdef _pass_down(self, Chunk chunk)
    cpdef _settle_up(self)
    cpdef _settle_down(self)
    cpdef _credit_up(self)
    cpdef _credit_down(self)
    @cython.locals(index=Py_ssize_t)
    cpdef _filter(self, side, Half half, Chunk chunk, Py_ssize_t start)
