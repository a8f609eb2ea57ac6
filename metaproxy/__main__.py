"""`python -m metaproxy ...` is `twistd -n metaproxy ...`, without a pid file."""

import sys

from twisted.scripts.twistd import run


def main() -> None:
    sys.argv[1:] = ["--nodaemon", "--pidfile=", "metaproxy", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
