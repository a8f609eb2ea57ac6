cimport cython
from metaproxy.message cimport Message
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.cluster.cluster cimport Cluster

cdef class Attempt

cdef class AttemptOwner:
    cpdef answered(self, Attempt attempt, Message response)

cdef class Attempt:
    cdef public bint begun
    cdef public Cluster cluster
    cdef public object connection
    cdef public bint done
    cdef public Endpoint endpoint
    cdef public object id
    cdef public Message message
    cdef public object moved
    cdef public bint open
    cdef public AttemptOwner owner
    cdef public bint streaming
    cpdef prepare(self, owner, Message message, Cluster cluster, Endpoint endpoint)

cdef class _Left(Attempt):
    pass
