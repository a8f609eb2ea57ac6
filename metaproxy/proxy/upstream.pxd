cimport cython
from metaproxy.proxy.server_connection cimport ServerConnection

cdef class Upstream(ServerConnection):
    cpdef submit(self, attempt)
    cpdef _start(self, attempt)
    cpdef _after_read(self)
    cpdef _redirected(self, attempt, answer)
