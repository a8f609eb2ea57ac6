from metaproxy.counts cimport TargetCounts

cdef class ChosenTarget:
    cdef public object cluster
    cdef public TargetCounts counts
    cdef public object fallback
    cdef public object weight

cdef class ReadByEach:
    cdef public ChosenTarget only_target
    cdef public object reply
    cdef public object split_by_hash
    cdef public object request
    cdef public object retry
    cdef public object hash_keys
    cdef public object subset
    cdef public object mirror
    cdef public object timeout
    cdef public object response
    cdef public tuple on_request
    cdef public tuple on_response
    cdef public tuple on_complete

cdef class ChosenRoute(ReadByEach):
    cdef public tuple _bounds
    cdef public object _uniform
    cdef public tuple conditions
    cdef public object name
    cdef public tuple on_chunk
    cdef public tuple on_head
    cdef public object percent
    cdef public object priority
    cdef public ChosenTarget reply_target
    cdef public tuple targets
    cpdef pick(self)
