cimport cython
from metaproxy.proxy.current cimport SnapshotOwner
from metaproxy.proxy.deadlines cimport DeadlineQueues
from metaproxy.proxy.flush_queue cimport FlushQueue
from metaproxy.proxy.socket_protocol cimport SocketProtocol

cdef class PoolClient(SocketProtocol):
    cdef public DeadlineQueues deadlines
    cdef public Py_ssize_t inflight
    cdef public dict leases
    cdef public object network
    cdef public object number
    cdef public dict pinned_by_cluster
    cdef public object session_pin
    cdef public dict shared_by_pool
    cdef public FlushQueue turn

cdef class AskingClient(PoolClient):
    cdef public dict facts
    cdef public SnapshotOwner listener
    cdef public object session
    cpdef finished(self, exchange)
