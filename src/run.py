"""Entry of convscope: `python src/run.py job=train model=zfnet`; `--help` lists what there is."""

import sys
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Shows the manual at once, or hands the command line to the program."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from convscope.cli.help import general_help, help_on_choices
        from convscope.errors import UserError

        try:
            print(help_on_choices(CONF, sys.argv[1:]) or general_help(CONF))
        except UserError as problem:
            sys.exit(f"convscope: {problem}")
        return
    from convscope.cli.program import start

    start(CONF)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("convscope: interrupted", file=sys.stderr)
        sys.exit(130)
