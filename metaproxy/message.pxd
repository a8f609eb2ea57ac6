cimport cython

cdef class Shared(dict):
    cdef public object counts
    cdef public long long index
    cdef public object rest
    cdef public object route
    cdef public object target
    cpdef note(self, long long index, route, target, counts)

cdef class Spliced:
    cdef public object head
    cdef public object frame
    cdef public Py_ssize_t at

cdef class Message:
    cdef public object answer
    cdef public object companion
    cdef public bint duplex
    cdef public bint failed
    cdef public bint failing
    cdef public object frame
    cdef public object hold
    cdef public object id
    cdef public object kind
    cdef public bint logoff
    cdef public object metadata
    cdef public object more
    cdef public bint oneway
    cdef public object override_key
    cdef public object profile
    cdef public object refused
    cdef public object retry_after
    cdef public object revoked
    cdef public object unclear
    cdef object __weakref__
    cpdef get(self, key)
    cpdef look(self)

cdef class Chunk(Message):
    cdef public bint final
    cdef public object size
    cdef public object trailers
    cdef public bint unsent
