cdef class TakenWait:
    cdef public object _reactor
    cdef public int fd
    cpdef rest(self)
    cpdef see_to_reactor(self)
