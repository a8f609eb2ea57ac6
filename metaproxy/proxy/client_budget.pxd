cdef class ClientBudget:
    cdef public long long _estimate
    cdef public long long behind
    cdef public long long intake
    cdef public long long most
    cdef public long long roomy
    cdef public long long size
    cdef public long long window
