cimport cython
from metaproxy.message cimport Message, Shared

cdef class Entry:
    cdef public Py_ssize_t place
    cdef public tuple rest
    cdef public object route
    cdef public double share
    cdef public object split_by_hash
    cdef public bint sure

cdef class KeyIndex:
    cdef public Py_ssize_t first
    cdef public tuple keys
    cdef public object root
    cdef public Py_ssize_t until

cdef class RouteIndex:
    cdef public object _always
    cdef public bint _by_head
    cdef public long long _number
    cdef public list _indexes
    cdef public bint _looks
    cdef public list _noted
    cdef public object _uniform
    @cython.locals(waiting=list, head=Shared, by_head=bint, index=KeyIndex, entry=Entry, fact=bint, looked_up=bint, position=Py_ssize_t)
    cpdef match(self, Message message, facts)
    @cython.locals(entry=Entry, entries=list)
    cpdef _take(self, list waiting, Py_ssize_t below, Message message, facts)
    cpdef bint _holds(self, Entry entry, Message message, facts) except -1
    cpdef bint _draws(self, Entry entry, Message message, facts) except -1
