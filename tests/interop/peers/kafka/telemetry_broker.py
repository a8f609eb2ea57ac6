"""
A broker that wants clients' metrics each second (KIP-714): librdkafka's mock cluster. Prints its address, and on the
standard error what it is told. Apache's brokers have this only with a plugin of a vendor.
"""

import ctypes
import sys
import time
from pathlib import Path

import confluent_kafka

POINTER, TEXT, NUMBER = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
(library,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*.so*")
rdkafka = ctypes.CDLL(str(library))


def function(name, result, *arguments):
    found = getattr(rdkafka, f"rd_kafka_{name}")
    found.restype, found.argtypes = result, arguments
    return found


configuration = function("conf_new", POINTER)()
client = function("new", POINTER, NUMBER, POINTER, TEXT, ctypes.c_size_t)(0, configuration, None, 0)
cluster = function("mock_cluster_new", POINTER, POINTER, NUMBER)(client, 1)
wanted = (TEXT * 1)(b"*")
ask = function("mock_telemetry_set_requested_metrics", NUMBER, POINTER, ctypes.POINTER(TEXT), ctypes.c_size_t)
assert ask(cluster, wanted, 1) == 0
assert function("mock_telemetry_set_push_interval", NUMBER, POINTER, ctypes.c_int64)(cluster, 1000) == 0
print("broker", function("mock_cluster_bootstraps", TEXT, POINTER)(cluster).decode(), flush=True)
sys.stdout.close()
while True:
    time.sleep(60)
