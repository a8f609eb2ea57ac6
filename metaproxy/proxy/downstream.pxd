cimport cython
from metaproxy.proxy.client_budget cimport ClientBudget
from metaproxy.message cimport Message
from metaproxy.proxy.client_requests cimport ClientRequests
from metaproxy.proxy.response_order cimport ResponseOrder
from metaproxy.proxy.exchange_facts cimport ExchangeFacts

cdef class Downstream(ClientRequests):
    cdef object __weakref__
    @cython.locals(message=Message, budget=ClientBudget, size=Py_ssize_t)
    cpdef dataReceived(self, data)
    @cython.locals(ended=ExchangeFacts, message=Message, order=ResponseOrder, places=list)
    cpdef finished(self, exchange)
