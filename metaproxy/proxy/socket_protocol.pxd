cdef class SocketProtocol:
    cpdef dataReceived(self, data)
    cpdef flush(self)
