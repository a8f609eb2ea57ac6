cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.proxy.pool_client cimport PoolClient
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.cluster.cluster cimport Cluster
from metaproxy.proxy.upstream cimport Upstream

cdef class Pool:
    cdef public object _address
    cdef public bint _beats
    cdef public bint _bounded
    cdef public object _class
    cdef public object _idle
    cdef public bint _keep_order
    cdef public object _log_throttle
    cdef public bint _multiplex
    cdef public bint _pinned
    cdef public object _queue
    cdef public object _reserved
    cdef public bint _retired
    cdef public bint _sequential
    cdef public object _shared
    cdef public bint _shares_streams
    cdef public bint _statement
    cdef public bint _stays
    cdef public bint _wears_out
    cdef public Cluster cluster
    cdef public object codec
    cdef public object connections
    cdef public Endpoint endpoint
    cdef public bint lends
    cdef public object network
    cdef public object settings
    cdef object __weakref__
    @cython.locals(message=Message, sticky=Upstream)
    cpdef start(self, Attempt attempt, PoolClient client)
    @cython.locals(connection=Upstream)
    cpdef _lease(self, Attempt attempt, PoolClient client)
    cpdef _give(self, Upstream connection, Attempt attempt, PoolClient client)
    cpdef give_back(self, Upstream connection)
