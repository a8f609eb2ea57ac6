cimport cython
from metaproxy.message cimport Message
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.cluster.cluster cimport Cluster
from metaproxy.proxy.pool_client cimport AskingClient
from metaproxy.proxy.request_timeout cimport TimedExchange
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.cluster.breaker cimport Breaker
from metaproxy.counts cimport TargetCounts, EndpointCounts, Histogram

cdef class Exchange(TimedExchange):
    @cython.locals(message=Message)
    cpdef begin(self, overload=*)
    @cython.locals(endpoint=Endpoint, breaker=Breaker, attempt=Attempt, client=AskingClient, cluster=Cluster)
    cpdef forward(self)
    @cython.locals(endpoint=Endpoint, counts=EndpointCounts)
    cpdef answered(self, attempt, Message response)
    @cython.locals(client=AskingClient)
    cpdef take(self, Message response)
    cpdef deliver(self)
    @cython.locals(counts=TargetCounts, latency=Histogram, duration=double, now=double, endpoint=Endpoint, outcomes=dict, client=AskingClient)
    cpdef complete(self, outcome)
