cimport cython
from metaproxy.cluster.cluster cimport Cluster
from metaproxy.message cimport Message
from metaproxy.routing.chosen cimport ChosenTarget
from metaproxy.proxy.deadlines cimport DeadlineQueues, Deadlines
from metaproxy.proxy.exchange_facts cimport ExchangeFacts

cdef class TimedExchange(ExchangeFacts):
    @cython.locals(message=Message, before=Deadlines, deadlines=Deadlines, target=ChosenTarget, cluster=Cluster)
    cpdef watch(self)
    cpdef allowed(self)
    cpdef forward(self)
    cpdef deliver(self)
