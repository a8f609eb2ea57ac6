cimport cython
from metaproxy.message cimport Message
from metaproxy.counts cimport ListenerCounts
from metaproxy.proxy.client_connection cimport ClientConnection
from metaproxy.proxy.exchange cimport Exchange

cdef class ClientRequests(ClientConnection):
    @cython.locals(exchange=Exchange, counts=ListenerCounts)
    cpdef _begin(self, Message message, kind=*)
