# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
recv and send of one socket, without a socket object's arguments, its 64 KiB for each read, or giving up the
interpreter lock: what is read and written here never blocks.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EINTR, errno

cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *, Py_ssize_t) except NULL
    char *content "PyBytes_AS_STRING" (PyObject *)
    int resize "_PyBytes_Resize" (PyObject **, Py_ssize_t) except -1

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_recv "recv" (int, void *, size_t, int)
    ssize_t c_send "send" (int, const void *, size_t, int)
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL

cdef enum:
    SIZE = 65536
    LARGE = 4096

cdef char buffer[SIZE]


cdef class SocketCalls:
    """As recv and send of a socket that does not block; fd: its descriptor, which must be open."""

    cdef int fd
    cdef bint large

    def __init__(self, int fd):
        self.fd = fd

    def recv(self, Py_ssize_t size):
        if self.large or size > SIZE:
            return self.recv_large(size)
        cdef ssize_t got
        while True:
            got = c_recv(self.fd, buffer, size, MSG_DONTWAIT)
            if got >= 0:
                break
            self.failed()
        self.large = got > LARGE
        return PyBytes_FromStringAndSize(buffer, got)

    cdef bytes recv_large(self, Py_ssize_t size):
        """Into the bytes that are given, which are made smaller where they lie: a large read is not copied."""
        cdef PyObject *data = new_bytes(NULL, size)
        cdef ssize_t got
        try:
            while True:
                got = c_recv(self.fd, content(data), size, MSG_DONTWAIT)
                if got >= 0:
                    break
                self.failed()
            self.large = got > LARGE
            resize(&data, got)
            return <bytes> data
        finally:
            Py_XDECREF(data)

    def send(self, data):
        cdef Py_buffer view
        cdef ssize_t sent
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            while True:
                sent = c_send(self.fd, view.buf, view.len, MSG_DONTWAIT | MSG_NOSIGNAL)
                if sent >= 0:
                    return sent
                self.failed()
        finally:
            PyBuffer_Release(&view)

    cdef int failed(self) except -1:
        """Raises the OSError of a call that failed, unless it was interrupted."""
        if errno == EINTR:
            PyErr_CheckSignals()
            return 0
        PyErr_SetFromErrno(OSError)
        return -1
