cimport cython
from metaproxy.proxy.request_timeout cimport TimedExchange

@cython.locals(hooks=tuple, index=Py_ssize_t)
cpdef ask(TimedExchange exchange, Py_ssize_t start=*)
@cython.locals(hooks=tuple, index=Py_ssize_t)
cpdef tell(TimedExchange exchange, Py_ssize_t start)
