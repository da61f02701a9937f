"""The program: `convscope`, `python -m convscope`, and `python src/run.py` in the repository. Imports nothing slow."""

import os
import sys

import convscope
from convscope.cli.environment import CONF, plain_surroundings, quick_imports
from convscope.errors import PROGRAM


def main(program: str = "convscope") -> None:
    """Prints the help without loading the program, or runs the command line. program: how it is started in a shell."""
    os.environ.setdefault(PROGRAM, program)  # the processes that a run starts are given other names
    with plain_surroundings():
        if sys.argv[1:] == ["--version"]:
            print(f"convscope {convscope.__version__}")
            return
        if sys.argv[1:2] == ["serve"]:
            from convscope.cli.serve import serve

            serve(sys.argv[2:])
            return
        if {"-h", "--help"} & set(sys.argv[1:]):
            from convscope.cli.help import general_help, help_on_choices

            print(help_on_choices(CONF, sys.argv[1:]) or general_help(CONF, sys.argv[1:]))
            return
        with quick_imports():
            from convscope.cli.program import start

        start(CONF)


if __name__ == "__main__":
    main()
