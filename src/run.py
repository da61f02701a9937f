"""Entry of convscope: `python src/run.py job=train model=zfnet`; `--help` lists what there is."""

import sys
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Shows the manual at once, or hands the command line to the program."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from convscope.cli.help import manual, page
        from convscope.errors import UserError

        try:
            print(page(CONF, sys.argv[1:]) or manual(CONF))
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
