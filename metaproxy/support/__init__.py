"""
Small things that every room needs, each in one place. A closed list: what has a room of its own goes there.
Nothing here imports Twisted's reactor, or another room.
"""
