cimport cython
from metaproxy.message cimport Message
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.proxy.attempt cimport AttemptOwner
from metaproxy.proxy.current cimport PathSnapshot
from metaproxy.proxy.pool_client cimport AskingClient
from metaproxy.proxy.deadlines cimport Deadlines
from metaproxy.routing.chosen cimport ChosenRoute, ChosenTarget

cdef class ExchangeFacts(AttemptOwner):
    cdef public object _alteration
    cdef public object _changes
    cdef public object attempt
    cdef public AskingClient client
    cdef public object data
    cdef public Deadlines deadlines
    cdef public object details
    cdef public double ended
    cdef public Endpoint endpoint
    cdef public object learnt
    cdef public ChosenRoute matched_route
    cdef public Message message
    cdef public object outcome
    cdef public object reply_kind
    cdef public Message response
    cdef public Py_ssize_t response_bytes
    cdef public PathSnapshot snapshot
    cdef public double started
    cdef public object stream
    cdef public ChosenTarget target
    cdef public object time_limit
    cdef public object tries
    cdef object __weakref__
    cpdef prepare(self, AskingClient client, Message message, PathSnapshot snapshot, double started)
