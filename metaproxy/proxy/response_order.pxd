cdef class ResponseOrder:
    cdef public object _budget
    cdef public object _client
    cdef public bint _writing
    cdef public list places
