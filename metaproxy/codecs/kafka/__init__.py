"""Kafka: see docs/reference/codecs/kafka.md."""

from metaproxy.codecs.kafka.codec import Kafka

__all__ = ["Kafka"]
