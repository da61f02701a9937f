"""convscope from Python: nets with their images, the units in them, and one function for each analysis.

opening.py       load, pretrained, read_run: nets that convscope or a library has made
subjects.py      subject: any nn.Module with images of the user's own (image_sets.py)
units.py         top9, grid, project, receptive_fields
looking.py       visualize, invariance, occlude, correspond, diagnose
asking.py        sanity, dissect, match, ablate, receptive
measuring.py     neighbors, evaluate, transfer, overlap (two_sets.py), claims
findings.py      what these return; pictures.py and notebook.py show and save it
arguments.py     errors in the words of Python; examination.py leaves a net and random numbers as they were
"""

from convscope.analyses.subject import Subject
from convscope.api.asking import ablate, dissect, match, receptive, sanity
from convscope.api.findings import Findings
from convscope.api.looking import correspond, diagnose, invariance, occlude, visualize
from convscope.api.measuring import claims, evaluate, neighbors, overlap, transfer
from convscope.api.opening import load, pretrained, read_run
from convscope.api.subjects import subject
from convscope.api.units import grid, project, receptive_fields, top9
from convscope.engine.top9 import Top9
from convscope.runs.reading import Run

__all__ = [
    "Findings",
    "Run",
    "Subject",
    "Top9",
    "ablate",
    "claims",
    "correspond",
    "diagnose",
    "dissect",
    "evaluate",
    "grid",
    "invariance",
    "load",
    "match",
    "neighbors",
    "occlude",
    "overlap",
    "pretrained",
    "project",
    "read_run",
    "receptive",
    "receptive_fields",
    "sanity",
    "subject",
    "top9",
    "transfer",
    "visualize",
]
