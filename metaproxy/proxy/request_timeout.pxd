cimport cython
from metaproxy.message cimport Message
from metaproxy.proxy.deadlines cimport Deadlines
from metaproxy.proxy.exchange_facts cimport ExchangeFacts

cdef class TimedExchange(ExchangeFacts):
    @cython.locals(message=Message, before=Deadlines, deadlines=Deadlines)
    cpdef watch(self)
    cpdef allowed(self)
