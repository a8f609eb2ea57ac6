cimport cython
from metaproxy.message cimport Message

cdef tuple _last

cdef class Head:
    cdef public Py_ssize_t _arguments
    cdef public object _body
    cdef public bint _generic
    cdef public object _types
    cdef public Py_ssize_t end
    cdef public object metadata
    cpdef read_rest(self, Message message)

@cython.locals(number=int, its=int, head=Head)
cpdef read_call(Message message)
