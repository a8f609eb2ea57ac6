cdef class Turns:
    cdef public object _turns
    cpdef pick(self, hash_value)
