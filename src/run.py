"""Entry of convscope: `python src/run.py job=train model=zfnet`; `--help` lists what there is."""

import sys
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """Shows the manual at once, or hands the command line to the program."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from convscope.manual import manual

        print(manual(CONF))
        return
    from convscope.app import start

    start(CONF)


if __name__ == "__main__":
    main()
