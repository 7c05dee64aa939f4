"""The commands of `ragmeter`: a page each, of its name, with `add_arguments(parser)` and `run(arguments) -> exit code`.

Beside them stands what several of them need. Nobody but the command line knows this room.
"""
