cimport cython
from cpython.array cimport array

cdef class Histogram:
    cdef readonly array buckets
    cdef public double total
    cdef object __weakref__
    @cython.locals(other=Histogram)
    cpdef copy(self)
    cpdef take(self, Histogram other)

cdef class StreamCounts:
    cdef public object first_byte
    cdef public object open
    cdef public object request_chunks
    cdef public object response_chunks
    cdef public object seconds

cdef class CountedByEach:
    cdef readonly array _buckets
    cdef public long long _ok
    cdef public double _seconds
    cdef public long long request_bytes
    cdef public long long response_bytes
    cdef long long *numbers

cdef class TargetCounts(CountedByEach):
    cdef readonly Histogram _latency
    cdef public dict _others
    cdef public long long cached
    cdef public long long fallbacks
    cdef public long long hedges
    cdef public long long retries
    cdef public object streams
    cpdef count(self, outcome, long long number=*)

cdef class Counter:
    cpdef ended(
        self, TargetCounts counts, outcome, long long request_bytes, long long response_bytes, double duration,
        Histogram of_endpoint,
    )
    cpdef hold(self)
    cpdef fetch(self)
    cpdef settle(self)

cdef class MirrorCounts:
    cdef public long long compared
    cdef public long long differences
    cdef public long long dropped
    cdef public long long failures
    cdef public long long requests

cdef class ListenerCounts:
    cdef public long long active_exchanges
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long connections
    cdef public long long connections_active
    cdef public long long connections_refused
    cdef public long long decode_errors
    cdef public long long destroyed_local_active
    cdef public long long destroyed_remote_active
    cdef public long long events
    cdef public long long filter_errors
    cdef public long long heartbeats
    cdef public long long idle_timeouts
    cdef public long long local_answers
    cdef public long long oneway
    cdef public long long overfull
    cdef public object plugin_errors
    cdef public long long requests
    cdef public long long stalled
    cdef public long long tls_errors
    cdef public long long unmatched_responses

cdef class EndpointCounts:
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long connect_errors
    cdef public long long connect_timeouts
    cdef public long long connections
    cdef public long long decode_errors
    cdef public long long errors
    cdef public long long heartbeats
    cdef public long long late
    cdef public Histogram latency
    cdef public long long requests
    cdef public long long resets
    cdef public long long successes
    cdef public long long timeouts
    cdef public long long unmatched
