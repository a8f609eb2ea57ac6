from metaproxy.counts cimport TargetCounts

cdef class ChosenTarget:
    cdef public object cluster
    cdef public TargetCounts counts
    cdef public object fallback
    cdef public object weight

cdef class RouteAction:
    cdef public object hash_keys
    cdef public object mirror
    cdef public tuple on_chunk
    cdef public tuple on_complete
    cdef public tuple on_head
    cdef public tuple on_request
    cdef public tuple on_response
    cdef public object reply
    cdef public object request
    cdef public object response
    cdef public object retry
    cdef public object split_by_hash
    cdef public object subset
    cdef public object timeout

cdef class ReadByEach:
    cdef public RouteAction action
    cdef public ChosenTarget only_target

cdef class ChosenRoute(ReadByEach):
    cdef public tuple _bounds
    cdef public object _uniform
    cdef public tuple conditions
    cdef public object name
    cdef public object percent
    cdef public object priority
    cdef public ChosenTarget reply_target
    cdef public tuple targets
    cpdef pick(self)
