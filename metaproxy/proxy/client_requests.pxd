cimport cython
from metaproxy.message cimport Message
from metaproxy.counts cimport ListenerCounts
from metaproxy.proxy.client_connection cimport ClientConnection
from metaproxy.proxy.response_order cimport ResponseOrder
from metaproxy.proxy.exchange cimport Exchange

cdef class ClientRequests(ClientConnection):
    @cython.locals(exchange=Exchange, counts=ListenerCounts, order=ResponseOrder)
    cpdef _begin(self, Message message, kind=*)
