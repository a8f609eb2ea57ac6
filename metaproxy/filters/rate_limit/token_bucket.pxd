cimport cython

cdef class Filling:
    cdef public double amount
    cdef public double burst
    cdef public object per
    cdef public double rate
    cdef public bint steady

cdef class Bucket:
    cdef public double filled
    cdef public double tokens
    cpdef take(self, Filling filling, double now)
    @cython.locals(tokens=double)
    cpdef fill(self, Filling filling, double now)
