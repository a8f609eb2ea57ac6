cdef class SocketCalls:
    cpdef recv(self, Py_ssize_t size)
    cpdef send(self, data)
    cpdef send_pieces(self, list pieces)
