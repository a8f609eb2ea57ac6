"""What holds for all tests of workers."""

from counted_alone import nothing_unparsed

__all__ = ["nothing_unparsed"]
