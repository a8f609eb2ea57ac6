# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""
The plain frames of a read, cut in C. What is incomplete, unusual or wrong is left where it stands: the codecs' own
loops go on there, and say what it is.

Each is a `cutter` of `metaproxy.interfaces.ISession`, which says what it is called with and gives. A subclass of bytes
is left to the loop. And some methods of sessions, `receive` and `send`, that take the place of those in Python: see
`cutters.compiled_methods`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp

from metaproxy.codecs.session_fields cimport CommandFields, FrameFields, ReplyFields, StraightFields
from metaproxy.message cimport Message, Shared, Spliced

from metaproxy.codecs import framing
from metaproxy.codecs.shapes import Located
from metaproxy.message import Hold, Kind

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define FETCH(place) __builtin_prefetch((place), 1)
    #else
    #define FETCH(place) ((void) 0)
    #endif
    """
    void FETCH(void *place) noexcept

cdef object REQUEST = Kind.REQUEST
cdef object RESPONSE = Kind.RESPONSE
cdef object ERROR = Kind.ERROR
cdef object EVENT = Kind.EVENT
cdef object FREE = Hold.NONE
cdef type LOCATED = Located
cdef tuple NOTHING = ()
cdef tuple THRIFT_KINDS = (None, REQUEST, RESPONSE, ERROR, Kind.ONEWAY)
cdef Py_ssize_t LARGE = framing.LARGE


cdef inline Message made(object kind, bytes frame, object id, object metadata, object more, object profile):
    """As Message(kind, frame, id, metadata, more, None, Hold.NONE, profile)."""
    cdef Message message = Message.__new__(Message)
    message.kind = kind
    message.frame = frame
    message.id = id
    message.metadata = metadata
    message.more = more
    message.hold = FREE
    message.profile = profile
    return message


cdef inline void fetch_route(Shared known) noexcept:
    """
    Prefetch what a request with these metadata comes to. Where there are many routes, all of it is in no cache, and each
    would be waited for behind the one that leads to it.
    """
    FETCH(<void *> known.route)
    FETCH(<void *> known.target)
    FETCH(<void *> known.counts)


cdef inline bytes piece(bytes data, Py_ssize_t at, Py_ssize_t stop):
    """A slice; all of it is itself, as in Python."""
    if at == 0 and stop == PyBytes_GET_SIZE(data):
        return data
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + at, stop - at)


cdef inline unsigned long long number(const unsigned char *raw, int width) noexcept:
    """Big-endian."""
    cdef unsigned long long value = 0
    cdef int place
    for place in range(width):
        value = value << 8 | raw[place]
    return value


cdef class PlainCutter:
    """What all have in common; each says what is plain."""

    def __call__(self, data, Py_ssize_t at, list messages not None):
        return at if type(data) is not bytes else self.cut(data, at, messages)

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        raise NotImplementedError


cdef class DubboCutter(PlainCutter):
    """
    Two-way requests of clients; answers of servers in Hessian 2. most: bytes of a body; more: what reads the metadata
    of such a message.
    """

    cdef bint client
    cdef unsigned long long most
    cdef object more

    def __init__(self, bint client, unsigned long long most, more):
        self.client = client
        self.most = most
        self.more = more

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), stop
        cdef unsigned long long length
        cdef unsigned char flags, first
        cdef bint failed
        while end - at >= 16:
            if raw[at] != 0xDA or raw[at + 1] != 0xBB:
                break
            flags = raw[at + 2]
            length = number(raw + at + 12, 4)
            if length > self.most:
                break
            stop = at + 16 + <Py_ssize_t> length
            if stop > end:
                break
            id = number(raw + at + 4, 8)
            if self.client:
                if flags & 0xE0 != 0xC0:
                    break
                messages.append(made(REQUEST, piece(data, at, stop), id, None, self.more, None))
            else:
                if flags != 2:
                    break
                first = raw[at + 16] if length else 0
                failed = raw[at + 3] != 20 or first == 0x90 or first == 0x93
                messages.append(made(ERROR if failed else RESPONSE, piece(data, at, stop), id, None, self.more, None))
            at = stop
        return at


cdef inline Py_ssize_t line_end(const char *raw, Py_ssize_t at, Py_ssize_t end) noexcept:
    """Where the next CR LF stands; -1 for nowhere."""
    cdef const char *found
    while at + 1 < end:
        found = <const char *> memchr(raw + at, 13, end - at - 1)
        if found == NULL:
            return -1
        at = found - raw
        if raw[at + 1] == 10:
            return at
        at += 1
    return -1


cdef inline Py_ssize_t value_end(const char *raw, Py_ssize_t at, Py_ssize_t end) noexcept:
    """Where a value ends, `$LENGTH CR LF BYTES CR LF` with a length of up to 9 digits; -1 for anything else."""
    cdef Py_ssize_t length = 0, place = at + 1
    if place + 1 >= end or raw[at] != 0x24 or (raw[place] == 0x30 and raw[place + 1] != 13):
        return -1
    while place < end and 0x30 <= raw[place] <= 0x39 and place < at + 10:
        length = length * 10 + raw[place] - 0x30
        place += 1
    if place == at + 1 or place + 1 >= end or raw[place] != 13 or raw[place + 1] != 10:
        return -1
    place += 2 + length
    if place + 2 > end or raw[place] != 13 or raw[place + 1] != 10:
        return -1
    return place + 2


cdef class RedisCommands(PlainCutter):
    """
    Whole commands that begin with one of the heads, which gives the number of the arguments behind it. most: bytes of
    a command; more, profile: those of the messages.
    """

    cdef dict heads
    cdef Py_ssize_t most
    cdef object more
    cdef object profile

    def __init__(self, dict heads not None, Py_ssize_t most, more, profile):
        self.heads = heads
        self.most = most
        self.more = more
        self.profile = profile

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const char *raw = PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), line, stop, left
        cdef Py_ssize_t last = -1, size = 0, known = 0
        while True:
            line = line_end(raw, at + 8, min(end, at + 40))
            if line < 0:
                return at
            if line - at == size and memcmp(raw + last, raw + at, size) == 0:
                left = known
            else:
                count = self.heads.get(PyBytes_FromStringAndSize(raw + at, line - at))
                if count is None:
                    return at
                left = known = count
                last, size = at, line - at
            stop = line + 2
            while left > 0:
                stop = value_end(raw, stop, end)
                if stop < 0:
                    return at
                left -= 1
            if stop - at > self.most:
                return at
            messages.append(made(REQUEST, piece(data, at, stop), 0, None, self.more, self.profile))
            at = stop


cdef object one_key(bytes frame, Py_ssize_t at, dict names, Py_ssize_t *start, Py_ssize_t *stop):
    """
    Of a whole command that begins at `at` and is one of `names`: its name there, and where its first argument stands;
    None for any other.
    """
    cdef const char *raw = PyBytes_AS_STRING(frame)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(frame), place = at + 1, first, behind
    while place < end and 0x30 <= raw[place] <= 0x39 and place < at + 10:
        place += 1
    if place == at + 1 or place + 2 > end or raw[at] != 0x2A or raw[place] != 13 or raw[place + 1] != 10:
        return None
    behind = value_end(raw, place + 2, end)
    if behind < 0:
        return None
    first = line_end(raw, place + 2, behind) + 2
    stop[0] = value_end(raw, behind, end) - 2
    if stop[0] < 0:
        return None
    start[0] = line_end(raw, behind, end) + 2
    return names.get(PyBytes_FromStringAndSize(raw + first, behind - 2 - first))


cdef class RedisReader:
    """
    What reads the metadata of commands: of one of `names`, and all others by `other`. skip: where they begin in their
    frames; tag, user: see `redis.metadata`.
    """

    cdef readonly object other
    cdef dict names
    cdef object tag
    cdef object user
    cdef Py_ssize_t skip

    def __init__(self, other, dict names not None, tag, user, Py_ssize_t skip):
        self.other, self.names, self.tag, self.user, self.skip = other, names, tag, user, skip

    def __call__(self, Message message not None):
        cdef Py_ssize_t start = 0, stop = 0
        cdef const char *raw
        frame, profile = message.frame, message.profile
        if type(frame) is not bytes or not (profile is None or type(profile) is tuple):
            self.other(message)
            return
        name = one_key(<bytes> frame, self.skip, self.names, &start, &stop)
        if name is None:
            self.other(message)
            return
        raw = PyBytes_AS_STRING(<bytes> frame)
        key = PyUnicode_DecodeUTF8(raw + start, stop - start, "surrogateescape")
        tag = key if memchr(raw + start, 0x7B, stop - start) == NULL else self.tag(key)
        database = "0" if profile is None else str(int((<tuple> profile)[1]))
        message.metadata = {
            "command": name, "operation": name, "database": database, "user": self.user, "tag": tag, "key": key,
            "keys": key,
        }


def redis_reader(function, dict names not None, tag, user, Py_ssize_t skip):
    return RedisReader(function, names, tag, user, skip)


def redis_split(function, dict names not None):
    """
    The `split` of a codec that knows at once that a command with one key, of a client without a server of its own,
    stays whole.
    """
    shown = frozenset(names.values())

    def split(self, Message request not None, owner):
        cdef Py_ssize_t start = 0, stop = 0
        if request.kind is REQUEST and type(request.frame) is bytes and getattr(owner, "bound", None) is None:
            known = request.metadata
            if known is None:
                if one_key(<bytes> request.frame, 0, names, &start, &stop) is not None:
                    return None
            elif known.get("command") in shown:
                return None
        return function(self, request, owner)

    split.__wrapped__ = function
    return split


cdef unsigned short[256] CRC16


cdef void fill_crc16():
    """CCITT, as XMODEM has it, which Redis Cluster makes slots of keys by."""
    cdef int byte, bit
    cdef unsigned int value
    for byte in range(256):
        value = byte << 8
        for bit in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
        CRC16[byte] = <unsigned short> value


fill_crc16()


def redis_shard_of(function, dict names not None):
    """
    The `shard_of` of a layout with `slots`, that finds the one of a command with one key, at which nobody looked yet,
    by its bytes.
    """

    def shard_of(self, Message message not None, key):
        cdef Py_ssize_t start = 0, stop = 0
        cdef const unsigned char *raw
        cdef const unsigned char *opened
        cdef const unsigned char *closed
        cdef unsigned int value = 0
        if (
            message.metadata is not None or message.kind is not REQUEST or type(message.frame) is not bytes
            or one_key(<bytes> message.frame, 0, names, &start, &stop) is None
        ):
            return function(self, message, key)
        raw = <const unsigned char *> PyBytes_AS_STRING(<bytes> message.frame)
        opened = <const unsigned char *> memchr(raw + start, 0x7B, stop - start)
        if opened != NULL:
            closed = <const unsigned char *> memchr(opened + 1, 0x7D, raw + stop - opened - 1)
            if closed != NULL and closed > opened + 1:
                start, stop = opened + 1 - raw, closed - raw
        while start < stop:
            value = (value << 8 & 0xFFFF) ^ CRC16[(value >> 8 ^ raw[start]) & 0xFF]
            start += 1
        return self.slots[value & 0x3FFF]

    shard_of.__wrapped__ = function
    return shard_of


cdef class RedisReplies(PlainCutter):
    """Values, nulls, simple strings, errors and numbers. most: bytes of a reply."""

    cdef Py_ssize_t most

    def __init__(self, Py_ssize_t most):
        self.most = most

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const char *raw = PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), stop
        cdef char code
        while at < end:
            code = raw[at]
            if code == 0x24:
                if end - at >= 5 and memcmp(raw + at, b"$-1\r\n", 5) == 0:
                    stop = at + 5
                else:
                    stop = value_end(raw, at, end)
                    if stop < 0:
                        return at
            elif code == 0x2B or code == 0x2D or code == 0x3A:
                stop = line_end(raw, at, min(end, at + 24) if code == 0x3A else end) + 2
                if stop < 2:
                    return at
            else:
                return at
            if stop - at > self.most:
                return at
            messages.append(made(ERROR if code == 0x2D else RESPONSE, piece(data, at, stop), 0, None, None, None))
            at = stop
        return at


cdef class ThriftFramed(PlainCutter):
    """
    Frames of strict binary whose name is known, or may wait. most: bytes of a message; most_name: of a name; heads: the
    bytes from the version to the name's end -> its metadata, a dict; more, profile: those of the messages;
    of_answers: reads the names of answers, None where they can't wait.
    """

    cdef Py_ssize_t most
    cdef Py_ssize_t most_name
    cdef object heads  # a dict, or derived from it
    cdef object more
    cdef object of_answers
    cdef object profile

    def __init__(self, Py_ssize_t most, Py_ssize_t most_name, heads, more, of_answers, profile):
        if not isinstance(heads, dict):
            raise TypeError(f"heads: a dict is wanted, not {type(heads).__name__}")
        self.most = most
        self.most_name = most_name
        self.heads = heads
        self.of_answers = of_answers
        self.more = more
        self.profile = profile

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), size, length, name, stop
        cdef unsigned int head
        cdef PyObject *found
        cdef bint lazy = self.of_answers is not None
        while end - at >= 4:
            size = <int> number(raw + at, 4)
            if size <= 12 or size > self.most:
                return at
            stop = at + 4 + size
            if stop > end:
                return at
            length = <int> number(raw + at + 8, 4)
            if length < 0 or 12 + length >= size:
                return at
            head = <unsigned int> number(raw + at + 4, 4)
            if lazy and length <= self.most_name and (head == 0x80010002 or head == 0x80010003):
                known, more = None, self.of_answers
            else:
                found = PyDict_GetItemWithError(self.heads, piece(data, at + 4, at + 12 + length))
                if found == NULL:
                    return at
                known, more = <object> found, self.more
                if type(known) is Shared:
                    fetch_route(<Shared> known)
            name = at + 12 + length
            kind = THRIFT_KINDS[raw[at + 7]]  # a head is kept behind the check that it has one of them
            if kind is RESPONSE and name + 7 <= stop and raw[name + 4] and 0 < number(raw + name + 5, 2) < 0x8000:
                kind = ERROR
            id = <int> number(raw + name, 4)
            messages.append(made(kind, piece(data, at, stop), id, known, more, self.profile))
            at = stop
        return at


def postgres_rows(data, Py_ssize_t at, list messages not None):
    """Rows of an answer and of a COPY, which are passed over: an answer is cut where it ends."""
    if type(data) is not bytes:
        return at
    cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data), size
    while end - at >= 5 and (raw[at] == 0x44 or raw[at] == 0x64):
        size = <Py_ssize_t> number(raw + at + 1, 4)
        if size < 4 or size > 0x3FFFFFFF or size >= end - at:
            break
        at += 1 + size
    return at


def mysql_rows(data, Py_ssize_t at):
    """Where the first packet begins that is no row, or that is not whole, and how many rows there are before it."""
    cdef Py_ssize_t rows = 0
    if type(data) is not bytes:
        return at, rows
    cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data), size
    while end - at > 4:
        size = raw[at] | raw[at + 1] << 8 | raw[at + 2] << 16
        if size == 0 or size == 0xFFFFFF or raw[at + 4] >= 0xFE or size > end - at - 4:
            break
        at += 4 + size
        rows += 1
    return at, rows


cdef class Repeated(PlainCutter):
    """
    Frames whose head is that of `shape` (`metaproxy.codecs.shapes`) but for its id; none while that is None. profile:
    of the messages.
    """

    cdef object shape
    cdef object kind
    cdef object profile
    cdef bytes prefix
    cdef bytes suffix
    cdef Py_ssize_t start
    cdef object metadata
    cdef object more

    def __init__(self, shape, profile=None):
        self.shape = shape
        self.profile = profile
        if shape is not None:
            self.kind = shape.kind
            self.prefix = bytes(shape.prefix)
            self.suffix = bytes(shape.suffix)
            self.start = shape.start

    def __call__(self, data, Py_ssize_t at, list messages not None):
        if type(data) is not bytes or self.shape is None:
            return at
        self.metadata, self.more = self.shape.sources()
        return self.cut(data, at, messages)

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        raise NotImplementedError

    cdef Py_ssize_t id_end(self, const unsigned char *raw, Py_ssize_t end, unsigned long long *id) noexcept:
        """
        Where the id ends, in a frame that begins at `raw` and whose head ends at `end`; 0 if the head is another, or
        its id has more than nine bytes.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.prefix), rest = PyBytes_GET_SIZE(self.suffix)
        cdef Py_ssize_t at = self.start + size, stop = end - rest
        cdef unsigned long long value = 0
        cdef int shift = 0
        if not at < stop <= at + 9 or memcmp(raw + self.start, PyBytes_AS_STRING(self.prefix), size):
            return 0
        if memcmp(raw + stop, PyBytes_AS_STRING(self.suffix), rest):
            return 0
        if raw[at] >= 0x80 and raw[end - 1] >= 0x80:
            return 0
        while at < stop:
            value |= <unsigned long long> (raw[at] & 0x7F) << shift
            shift += 7
            at += 1
            if raw[at - 1] < 0x80:
                break
        id[0] = value
        return stop if at == stop and raw[at - 1] < 0x80 else 0

    cdef Message located(self, bytes frame, unsigned long long id, Py_ssize_t stop):
        cdef Message message = <Message> (<PyTypeObject *> LOCATED).tp_new(LOCATED, <PyObject *> NOTHING, NULL)
        message.kind = self.kind
        message.frame = frame
        message.id = id
        message.metadata = self.metadata
        message.more = self.more
        message.hold = FREE
        message.profile = self.profile
        cdef object own = message
        own.id_at = self.start + PyBytes_GET_SIZE(self.prefix)
        own.id_stop = stop
        return message


cdef class BrpcRepeated(Repeated):
    """Calls and answers of baidu_std. most: bytes of a body; open: ids of streams; numbered: 0 is no id."""

    cdef unsigned long long most
    cdef dict open
    cdef bint numbered

    def __init__(self, shape, profile, unsigned long long most, dict open not None, bint numbered):
        super().__init__(shape, profile)
        self.most = most
        self.open = open
        self.numbered = numbered

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), stop, id_stop
        cdef unsigned long long body, meta, id = 0
        while end - at >= 12 and memcmp(raw + at, b"PRPC", 4) == 0:
            body, meta = number(raw + at + 4, 4), number(raw + at + 8, 4)
            stop = at + 12 + <Py_ssize_t> body
            if meta > body or body > self.most or stop > end:
                return at
            id_stop = self.id_end(raw + at, 12 + <Py_ssize_t> meta, &id)
            if id_stop == 0 or (id == 0 and self.numbered) or (self.open and id in self.open):
                return at
            messages.append(self.located(piece(data, at, stop), id, id_stop))
            at = stop
        return at


cdef class TrpcRepeated(Repeated):
    """Unary calls and answers of tRPC. most: bytes of a frame."""

    cdef unsigned long long most

    def __init__(self, shape, unsigned long long most):
        super().__init__(shape)
        self.most = most

    cdef Py_ssize_t cut(self, bytes data, Py_ssize_t at, list messages) except -1:
        cdef const unsigned char *raw = <const unsigned char *> PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), stop, id_stop
        cdef unsigned long long total, header, id = 0
        while end - at >= 16 and number(raw + at, 4) == 0x09300000:
            total, header = number(raw + at + 4, 4), number(raw + at + 8, 2)
            stop = at + <Py_ssize_t> total
            if total < 16 + header or total > self.most or stop > end:
                return at
            id_stop = self.id_end(raw + at, 16 + <Py_ssize_t> header, &id)
            if id_stop == 0:
                return at
            messages.append(self.located(piece(data, at, stop), id & 0xFFFFFFFF, id_stop))
            at = stop
        return at


cdef inline object with_bytes(bytes frame, Py_ssize_t at, unsigned long long value, int width):
    """A copy in which a big-endian number stands at that place; a large frame stays where it is behind it."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(frame)
    cdef bint large = size >= LARGE
    cdef bytes copy = PyBytes_FromStringAndSize(PyBytes_AS_STRING(frame), at + width if large else size)
    cdef unsigned char *raw = <unsigned char *> PyBytes_AS_STRING(copy) + at
    cdef int place
    for place in range(width - 1, -1, -1):
        raw[place] = value & 0xFF
        value >>= 8
    if not large:
        return copy
    cdef Spliced spliced = Spliced.__new__(Spliced)
    spliced.head = copy
    spliced.frame = frame
    spliced.at = at + width
    return spliced


def dubbo_send(session, Message message not None, id):
    """`DubboSession.send`."""
    if message.id == id:
        return message.frame
    cdef bytes frame = message.frame if type(message.frame) is bytes else bytes(message.frame)
    if PyBytes_GET_SIZE(frame) < 16:
        raise ValueError("no whole frame of Dubbo")
    return with_bytes(frame, 4, id, 8)


cdef object DUBBO_LOOP = None
"""The `receive` of `DubboSession` in Python."""


def dubbo_receive(FrameFields session not None, data):
    """`DubboSession.receive`: frames that are whole and plain; all else is left to the loop in Python."""
    cdef list messages = []
    cdef DubboCutter cutter
    cdef Message last
    cdef Py_ssize_t at = 0
    if not session.buffered and session.error is None:
        found = session.cutter
        if type(found) is DubboCutter and type(data) is bytes:
            cutter = found
            at = cutter.cut(data, 0, messages)
            if cutter.client and messages:
                last = messages[len(messages) - 1]
                session._serialization = (<const unsigned char *> PyBytes_AS_STRING(last.frame))[2] & 0x1F
            if at == len(data):
                return messages
    return DUBBO_LOOP(session, data, at, messages)


cdef object DUBBO_READ_CALL = None
"""`metadata.read_call` in Python."""
cdef object DUBBO_READ_REST = None
cdef list DUBBO_HEADS = [None] * 32
"""By serialization, None where bodies are not read: head -> metadata."""
cdef int last_number = -1
cdef bytes last_raw = b""
cdef Shared last_known = None


cdef Py_ssize_t hessian_strings(const unsigned char *raw, Py_ssize_t size) noexcept:
    """
    Bytes of the five strings that a head of Hessian 2 consists of, as if they were ASCII; -1 where they are no short
    ones, or not whole. A wrong number does no harm: a frame that begins with the bytes of a head has that head.
    """
    cdef Py_ssize_t at = 0
    cdef int place
    for place in range(5):
        if at + 1 >= size:
            return -1
        if raw[at] <= 0x1F:
            at += 1 + raw[at]
        elif 0x30 <= raw[at] <= 0x33:
            at += 2 + ((raw[at] - 0x30) << 8 | raw[at + 1])
        elif raw[at] == 0x4E:
            at += 1
        else:
            return -1
    return at if at <= size else -1


def dubbo_read_call(Message message not None):
    """`metadata.read_call`: of a head that is remembered; all else is left to it."""
    global last_number, last_raw, last_known
    cdef bytes frame, key
    cdef const unsigned char *raw
    cdef Py_ssize_t size, length
    cdef int serialization = -1
    cdef PyObject *found
    if type(message.frame) is bytes and PyBytes_GET_SIZE(message.frame) >= 16:
        frame = message.frame
        raw = <const unsigned char *> PyBytes_AS_STRING(frame)
        size, length = PyBytes_GET_SIZE(frame) - 16, PyBytes_GET_SIZE(last_raw)
        serialization = raw[2] & 0x1F
        # A head says itself where it ends: a frame that begins with the same bytes has the same head.
        if serialization == last_number and size >= length and not memcmp(raw + 16, PyBytes_AS_STRING(last_raw), length):
            message.metadata, message.more = last_known, DUBBO_READ_REST
            return
        heads = DUBBO_HEADS[serialization]
        if serialization == 2:
            length = hessian_strings(raw + 16, size)
        if heads is not None and 0 < length <= size:
            key = piece(frame, 16, 16 + length)
            found = PyDict_GetItemWithError(heads, key)
            if found != NULL:
                last_number, last_raw, last_known = serialization, key, <Shared> found
                fetch_route(last_known)
                message.metadata, message.more = last_known, DUBBO_READ_REST
                return
    DUBBO_READ_CALL(message)
    if serialization >= 0 and type(message.metadata) is Shared:
        last_known = message.metadata
        last_number, last_raw = serialization, piece(frame, 16, last_known.rest.end)


def dubbo_read_calls(function, dict heads not None, rest):
    """heads: of each serialization, see `metadata`; rest: the second step."""
    global DUBBO_READ_CALL, DUBBO_READ_REST, DUBBO_HEADS
    DUBBO_READ_CALL, DUBBO_READ_REST = function, rest
    DUBBO_HEADS = [heads.get(number) for number in range(32)]
    return dubbo_read_call


def dubbo_methods(sessions):
    global DUBBO_LOOP
    DUBBO_LOOP = sessions.receive
    return {"receive": dubbo_receive, "send": dubbo_send}


def redis_client_send(CommandFields session not None, Message message not None, id):
    """`ClientSession.send` of Redis: frames pass as they are; what is no plain answer is left to `send_other`."""
    if message.kind is EVENT or session._resetting:
        return session.send_other(message)
    return message.frame


def redis_client_methods(sessions):
    return {"send": redis_client_send}


def receiving(loop):
    """
    Return a `receive` of sessions with a flag `_straight`: while it is set, a read begins with a frame, and is given to
    the cutter. loop: the `receive` of their class in Python, to which all is left that is not plain.
    """

    def receive(session, data):
        cdef list messages = []
        cdef Py_ssize_t at = 0
        cdef StraightFields fields = session
        if fields._straight and (cutter := fields.cutter) is not None:
            if isinstance(cutter, PlainCutter) and type(data) is bytes:
                at = (<PlainCutter> cutter).cut(data, 0, messages)
            else:
                at = cutter(data, 0, messages)
            if at == len(data):
                return messages
        return loop(session, data, at, messages)

    return receive


def redis_commands_methods(sessions):
    return {"receive": receiving(sessions.receive)}


def redis_server_send(ReplyFields session not None, Message message not None, id):
    """`ServerSession.send` of Redis: frames pass as they are, and are counted; some are left to `send_other`."""
    if message.hold is not FREE or session._special:
        return session.send_other(message)
    session._unanswered += 1
    return message.frame


def redis_server_methods(sessions):
    return {"send": redis_server_send}


cdef object FRAMED_BINARY = None


def thrift_methods(sessions, framed_binary):
    """framed_binary: the profile of messages whose number it knows to write."""
    global FRAMED_BINARY
    FRAMED_BINARY = framed_binary
    return {"receive": receiving(sessions.receive), "send": thrift_send}


def thrift_send(session, Message message not None, id):
    """`ThriftSession.send`: framed strict binary; all else is left to `send_other`."""
    cdef bytes frame
    cdef Py_ssize_t size, at
    if message.profile is FRAMED_BINARY:
        if message.id == id:
            return message.frame
        if type(message.frame) is bytes:
            frame = message.frame
            size = PyBytes_GET_SIZE(frame)
            if size >= 16 and (<const unsigned char *> PyBytes_AS_STRING(frame))[4] == 0x80:
                at = <int> number(<const unsigned char *> PyBytes_AS_STRING(frame) + 8, 4)
                if 0 <= at <= size - 16:
                    return with_bytes(frame, 12 + at, <unsigned int> <int> id, 4)
    return session.send_other(message, id)
