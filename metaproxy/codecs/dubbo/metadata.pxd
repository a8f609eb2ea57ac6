cimport cython
from metaproxy.message cimport Message

cdef class Head:
    cdef public object metadata
    cdef public object raw
    cdef public int number
    cdef public Py_ssize_t _arguments
    cdef public object _body
    cdef public bint _generic
    cdef public object _types
    cdef public Py_ssize_t end
    cpdef read_rest(self, Message message)

cdef Head _last

@cython.locals(number=int, head=Head)
cpdef read_call(Message message)
