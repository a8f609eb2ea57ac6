from metaproxy.message cimport Message

cdef class Head:
    cdef public dict metadata
    cdef public Py_ssize_t _arguments
    cdef public object _body
    cdef public bint _generic
    cdef public object _types
    cdef public Py_ssize_t end
    cpdef read_rest(self, Message message)
