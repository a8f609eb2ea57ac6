cimport cython
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.cluster.breaker cimport Breaker

cdef class Cluster:
    cdef object __weakref__
    cdef public dict _by_shard
    cdef public object _by_subset
    cdef public object _make_balancer
    cdef public object _notes
    cdef public object _part_key
    cdef public object _pick
    cdef public object _plan
    cdef public object _roles
    cdef public object _stale
    cdef public bint asks_layout
    cdef public object balancer
    cdef public object balancer_name
    cdef public Breaker breaker
    cdef public object codec
    cdef public object connections
    cdef public object counts
    cdef public object credentials
    cdef public object endpoints
    cdef public object hash_keys
    cdef public object kept
    cdef public object lacking
    cdef public object layout
    cdef public object leaving
    cdef public object monitors
    cdef public object name
    cdef public object now
    cdef public object observer
    cdef public object paused_by
    cdef public object read_your_writes
    cdef public object request_timeout
    cdef public bint retired
    cdef public object settings
    cdef public object slow_start
    cdef public bint splits
    cdef public bint uses_hash
    cpdef pick(self, message, keys, subset, facts=*)
    cpdef has(self, subset)
    @cython.locals(by_shard=dict)
    cpdef _having(self, shard, subset)
