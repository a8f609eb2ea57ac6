from metaproxy.routing.chosen cimport ChosenRoute

cdef class PathSnapshot:
    cdef public object codec
    cdef public ChosenRoute no_route
    cdef public object routes

cdef class SnapshotOwner:
    cdef public PathSnapshot snapshot

cdef class Shedding:
    cdef public bint shedding
