cdef class SessionFields:
    cdef public Py_ssize_t buffered
    cdef public bint closing
    cdef public object cutter
    cdef public object error
    cdef public bint owes

cdef class FrameFields(SessionFields):
    cdef public int _serialization

cdef class StraightFields(SessionFields):
    cdef public bint _straight

cdef class CommandFields(StraightFields):
    cdef public bint _resetting

cdef class ReplyFields(SessionFields):
    cdef public bint _special
    cdef public long long _unanswered
