cimport cython
from metaproxy.proxy.attempt cimport Attempt
from metaproxy.proxy.server_connection cimport ServerConnection

cdef class Upstream(ServerConnection):
    cpdef submit(self, Attempt attempt)
    cpdef _start(self, Attempt attempt)
    cpdef _after_read(self)
    cpdef _redirected(self, attempt, answer)
