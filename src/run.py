"""Entry of convscope: `python src/run.py job=train model=zfnet`; `--help` lists jobs, nets, data sets and keys."""

import sys
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Prints the help without loading the program, or runs the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from convscope.cli.help import general_help, help_on_choices

        print(help_on_choices(CONF, sys.argv[1:]) or general_help(CONF))
        return
    from convscope.cli.program import start

    start(CONF)


if __name__ == "__main__":
    from convscope.cli.environment import plain_surroundings

    with plain_surroundings():
        main()
