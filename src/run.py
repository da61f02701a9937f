"""Entry of convscope: `python src/run.py job=train model=zfnet`; `--help` lists what there is."""

import sys
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Shows the manual at once, or hands the command line to the program."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from convscope.manual import manual, page
        from convscope.problem import Problem

        try:
            print(page(CONF, sys.argv[1:]) or manual(CONF))
        except Problem as problem:
            sys.exit(f"convscope: {problem}")
        return
    from convscope.app import start

    start(CONF)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("convscope: interrupted", file=sys.stderr)
        sys.exit(130)
