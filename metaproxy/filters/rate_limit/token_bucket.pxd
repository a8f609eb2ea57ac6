cdef class Bucket:
    cdef public double filled
    cdef public double tokens
