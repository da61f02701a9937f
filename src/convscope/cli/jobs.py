"""settings -> objects -> job -> record: one function per job of the program.

settings: the plain values of conf/, and under "words" the words of the command line. Heavy libraries are imported
inside the functions: a word that is wrong on the command line is answered at once.
"""

from convscope.cli.dashboard import dashboard
from convscope.cli.gathering import GATHERING
from convscope.cli.looking import LOOKING
from convscope.cli.paths import paths_checked
from convscope.cli.recording import Command, timed
from convscope.cli.training import train

_EVERY: dict[str, Command] = {"train": train, **LOOKING, **GATHERING, "dashboard": dashboard}
JOBS = {name: timed(paths_checked(command)) for name, command in _EVERY.items()}
