# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
recv and send of one socket, without a socket object's arguments, its 64 KiB for each read, or giving up the
interpreter lock: what is read and written here never blocks; pieces of one write are sent from where they lie. And an
epoll that makes no objects of what is ready.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EAGAIN, EBADF, EINTR, errno
from libc.math cimport ceil
from libc.string cimport memcpy, memset

from metaproxy.message cimport Spliced
from metaproxy.proxy.socket_calls cimport SocketCalls

cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *, Py_ssize_t) except NULL
    char *content "PyBytes_AS_STRING" (PyObject *)
    int resize "_PyBytes_Resize" (PyObject **, Py_ssize_t) except -1

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_recv "recv" (int, void *, size_t, int)
    ssize_t c_send "send" (int, const void *, size_t, int)
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t c_sendmsg "sendmsg" (int, const msghdr *, int)
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)
    enum: EPOLL_CLOEXEC
    enum: EPOLL_CTL_ADD
    enum: EPOLL_CTL_DEL
    enum: EPOLL_CTL_MOD
    enum: EPOLLIN

cdef extern from "<unistd.h>" nogil:
    int c_close "close" (int)

cdef enum:
    EVENTS = 512
    SIZE = 65536
    LARGE = 4096
    PIECES = 64

cdef char buffer[SIZE]
cdef char small[SIZE]

cdef struct Batch:
    iovec vector[PIECES]
    int count
    Py_ssize_t used
    Py_ssize_t size
    Py_buffer views[PIECES]
    int viewed

cdef Batch batch


cdef void put(const char *start, Py_ssize_t size) noexcept:
    """One more piece of the batch: where it lies, or, of a small one, a copy behind the small ones before it."""
    cdef iovec *last
    batch.size += size
    if size < LARGE and batch.used + size <= SIZE:
        memcpy(small + batch.used, start, size)
        start = small + batch.used
        batch.used += size
        if batch.count:
            last = &batch.vector[batch.count - 1]
            if <char *> last.iov_base + last.iov_len == start:
                last.iov_len += size
                return
    batch.vector[batch.count].iov_base = <void *> start
    batch.vector[batch.count].iov_len = size
    batch.count += 1


cdef int put_bytes(data, Py_ssize_t at) except -1:
    if not isinstance(data, bytes):
        raise TypeError(f"{data!r:.100} is not bytes")
    if not 0 <= at <= PyBytes_GET_SIZE(data):
        raise ValueError(f"{len(data)} bytes from byte {at} on")
    put(PyBytes_AS_STRING(data) + at, PyBytes_GET_SIZE(data) - at)
    return 0


cdef int add(piece) except -1:
    cdef Spliced spliced
    cdef Py_buffer *view
    if isinstance(piece, bytes):
        put_bytes(piece, 0)
    elif type(piece) is Spliced:
        spliced = <Spliced> piece
        put_bytes(spliced.head, 0)
        put_bytes(spliced.frame, spliced.at)
    else:
        view = &batch.views[batch.viewed]
        PyObject_GetBuffer(piece, view, PyBUF_SIMPLE)
        batch.viewed += 1
        put(<char *> view.buf, view.len)
    return 0


cdef bint room_for(piece) except -1:
    """Whether it can be of the batch; the first can."""
    if batch.count >= PIECES - 1 or batch.viewed >= PIECES:
        return False
    return not batch.size or batch.size + len(piece) <= SIZE


cdef Py_ssize_t fill(list pieces, Py_ssize_t at) except -1:
    """A new batch, of the pieces from `at` on. The place of the first that is not in it."""
    batch.count = batch.viewed = 0
    batch.used = batch.size = 0
    while at < len(pieces) and room_for(pieces[at]):
        add(pieces[at])
        at += 1
    return at


cdef void release() noexcept:
    while batch.viewed:
        batch.viewed -= 1
        PyBuffer_Release(&batch.views[batch.viewed])


cdef class DescriptorCalls(SocketCalls):
    """As recv and send of a socket that does not block; fd: its descriptor, which must be open."""

    cdef int fd
    cdef bint large

    def __init__(self, int fd):
        self.fd = fd

    cpdef recv(self, Py_ssize_t size):
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

    cpdef send(self, data):
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

    cpdef send_pieces(self, list pieces):
        cdef Py_ssize_t at = 0, taken = 0
        cdef ssize_t sent
        while at < len(pieces):
            try:
                at = fill(pieces, at)
                sent = self.send_batch()
            finally:
                release()
            if sent < batch.size:
                return taken + max(sent, 0)
            taken += sent
        return -1

    cdef ssize_t send_batch(self) except -2:
        """How many bytes were taken; -1: there is no room."""
        cdef msghdr message
        cdef ssize_t sent
        memset(&message, 0, sizeof(message))
        message.msg_iov = batch.vector
        message.msg_iovlen = batch.count
        while True:
            if batch.count == 1:
                sent = c_send(self.fd, batch.vector[0].iov_base, batch.size, MSG_DONTWAIT | MSG_NOSIGNAL)
            else:
                sent = c_sendmsg(self.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent >= 0 or errno == EAGAIN:
                return sent
            self.failed()

    cdef int failed(self) except -1:
        """Raises the OSError of a call that failed, unless it was interrupted."""
        if errno == EINTR:
            PyErr_CheckSignals()
            return 0
        PyErr_SetFromErrno(OSError)
        return -1


cdef class Poll:
    """As `metaproxy.proxy.polling.Poll`."""

    cdef int fd
    cdef int at
    cdef int found
    cdef epoll_event events[EVENTS]
    cdef dict watching
    cdef object failed

    def __cinit__(self):
        self.fd = -1

    def __init__(self, failed):
        if self.fd >= 0:
            raise RuntimeError("made twice")
        self.failed = failed
        self.watching = {}
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.fd >= 0:
            c_close(self.fd)

    @property
    def left(self):
        return self.found - self.at

    def fileno(self):
        return self.fd

    def register(self, int fd, one, unsigned int events):
        self.control(EPOLL_CTL_ADD, fd, events)
        self.watching[fd] = one

    def modify(self, int fd, unsigned int events):
        self.control(EPOLL_CTL_MOD, fd, events)

    def forget(self, int fd):
        cdef int place
        if self.watching.pop(fd, None) is None:
            return False
        for place in range(self.at, self.found):
            if self.events[place].data.fd == fd:
                self.events[place].data.fd = -1
        self.control(EPOLL_CTL_DEL, fd, 0)
        return True

    def watched(self):
        return list(self.watching.values())

    def wait(self, seconds):
        cdef double wanted
        cdef int most = 0, found, error = 0
        self.at = self.found = 0
        if self.fd < 0:
            return 0
        if seconds is None:
            most = -1
        else:
            wanted = ceil(<double> seconds * 1000)  # a timer is not woken up for before it is due
            most = <int> wanted if 0 < wanted < 0x7FFFFFFF else 0 if wanted <= 0 else 0x7FFFFFFF
        if most == 0:
            found = epoll_wait(self.fd, self.events, EVENTS, 0)
            error = errno
        else:
            with nogil:
                found = epoll_wait(self.fd, self.events, EVENTS, most)
                error = errno
        if found < 0:
            if error != EINTR:
                raise OSError(error, "epoll_wait")
            PyErr_CheckSignals()
            found = 0
        self.found = found
        return found

    def see_to(self, int most):
        cdef int stop = min(self.found, self.at + max(most, 0)), fd
        cdef unsigned int events
        while self.at < stop:
            fd, events = self.events[self.at].data.fd, self.events[self.at].events
            self.at += 1
            one = self.watching.get(fd) if fd >= 0 else None
            if one is None:
                continue
            try:
                if events == EPOLLIN:
                    one.read()
                else:
                    one.on_events(events)
            except BaseException:
                self.failed(one)
            if self.found < stop:  # closed, or asked again, by what was called
                break
        return self.found - self.at

    def close(self):
        cdef int fd = self.fd
        self.fd = -1
        self.at = self.found = 0
        if fd >= 0:
            c_close(fd)

    cdef int control(self, int what, int fd, unsigned int events) except -1:
        cdef epoll_event event
        event.events = events
        event.data.fd = fd
        if epoll_ctl(self.fd, what, fd, &event) < 0:
            # As select.epoll: whatever is closed is out of it already.
            if what == EPOLL_CTL_DEL and errno == EBADF and self.fd >= 0:
                return 0
            PyErr_SetFromErrno(OSError)
        return 0
