cimport cython
from metaproxy.message cimport Message
from metaproxy.cluster.endpoint cimport Endpoint
from metaproxy.cluster.cluster cimport Cluster
from metaproxy.proxy.pool_client cimport AskingClient
from metaproxy.proxy.request_timeout cimport TimedExchange
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.proxy.filter_chain cimport ask, tell
from metaproxy.cluster.breaker cimport Breaker
from metaproxy.routing.chosen cimport ChosenRoute, ChosenTarget, RouteAction
from metaproxy.routing.index cimport RouteIndex
from metaproxy.proxy.pool cimport Pool
from metaproxy.counts cimport Counter, TargetCounts, EndpointCounts

cdef Counter counter

cdef class Exchange(TimedExchange):
    @cython.locals(message=Message, route=ChosenRoute, routes=RouteIndex)
    cpdef begin(self, overload=*)
    @cython.locals(endpoint=Endpoint, breaker=Breaker, attempt=Attempt, action=RouteAction, client=AskingClient, cluster=Cluster, route=ChosenRoute, target=ChosenTarget, message=Message, pool=Pool)
    cpdef forward(self)
    @cython.locals(endpoint=Endpoint, counts=EndpointCounts)
    cpdef answered(self, Attempt attempt, Message response)
    @cython.locals(action=RouteAction, client=AskingClient)
    cpdef take(self, Message response)
    cpdef deliver(self)
    @cython.locals(route=ChosenRoute, target=ChosenTarget, counts=TargetCounts, now=double, endpoint=Endpoint, client=AskingClient)
    cpdef complete(self, outcome)
    cpdef _detained(self, Cluster cluster)
    cpdef _split(self, Cluster cluster, Message message, pin)
