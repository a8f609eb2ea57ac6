cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.client_requests cimport ClientRequests
from metaproxy.proxy.exchange cimport Exchange

cdef class Downstream(ClientRequests):
    cdef object __weakref__
    @cython.locals(message=Message)
    cpdef dataReceived(self, data)
    cpdef finished(self, exchange)
