cimport cython
from metaproxy.counts cimport ListenerCounts
from metaproxy.proxy.client_budget cimport ClientBudget
from metaproxy.proxy.connection cimport Connection
from metaproxy.proxy.current cimport Shedding
from metaproxy.proxy.pool_client cimport AskingClient
from metaproxy.proxy.response_order cimport ResponseOrder

cdef class ClientConnection(AskingClient):
    cdef public object _barrier
    cdef public bint _blocked
    cdef public ClientBudget _budget
    cdef public object _choked
    cdef public bint _closed
    cdef public ListenerCounts _counts
    cdef public dict _exchanges
    cdef public bint _gone
    cdef public object _held
    cdef public object _last_answered
    cdef public object _last_words
    cdef public bint _leaving
    cdef public Py_ssize_t _limit
    cdef public object _look_again
    cdef public ResponseOrder _order
    cdef public bint _ordered
    cdef public list _out
    cdef public Shedding _overload
    cdef public object _pauses
    cdef public Connection _plain
    cdef public object _pushes
    cdef public bint _releasing
    cdef public bint _securing
    cdef public bint _sequential
    cdef public bint _slow
    cdef public object _stall
    cdef public object _stall_mark
    cdef public object _streams
    cdef public object _unread_end
    cdef public Py_ssize_t _window
    cdef public object _withheld
    cdef public object codec
    cdef public double last_active
    cdef public object transport
    cpdef write(self, data)
    @cython.locals(budget=ClientBudget, plain=Connection, out=list, number=Py_ssize_t, size=Py_ssize_t)
    cpdef flush(self)
    @cython.locals(places=Py_ssize_t, backlog=Py_ssize_t)
    cpdef Py_ssize_t _backlog(self) except? -1
