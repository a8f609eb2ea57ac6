from metaproxy.cluster.cluster cimport Cluster

cdef class Owners:
    cdef Cluster _cluster
    cdef object _subset
    cdef public object bound
