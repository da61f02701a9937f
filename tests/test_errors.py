"""The text of errors: one line for people, whatever a library, a file name or a terminal has put into it."""

import io
import os
import pickle
import shlex

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from convscope.errors import PROGRAM, UserError, command_line, one_line, reason_of

NOISE = [
    "\x1b[31m", "\x1b[0m", "\x1b]8;;file:///x\x07", "\x1b(", "\x07", "\x00", "\x08", "\r", "\u2028", "\x85", "\t",
    "\udc80",
    " at 0x7f3c2a1b9d40",
    ' INTERNAL ASSERT FAILED at "/pytorch/aten/src/ATen/core/x.cpp":123, please report a bug to PyTorch. ',
    "[enforce fail at alloc_cpu.cpp:127] err == 0. ", "\n",
]  # fmt: skip
STACKS = [
    "\nException raised from check at /pytorch/c10/core/x.cpp:92 (most recent call first):\nframe #0: c10::Error",
    "\nframe #1: <unknown function> + 0x2c1b (0x7f1 in /lib/libtorch.so)",
    "\nC++ CapturedTraceback:\n#4 std::function",
]
WORDS = st.lists(
    st.sampled_from(["sizes", "2x3", "of", "maps,", "(7", "7)", "Größe", "照片", "it's"]), min_size=1, max_size=6
)


@pytest.mark.parametrize("variable, program", [(None, ["python", "src/run.py"]), ("convscope", ["convscope"])])
def test_what_to_type_names_the_program_as_it_was_started(variable, program, monkeypatch):
    monkeypatch.delenv(PROGRAM, raising=False)
    if variable:
        monkeypatch.setenv(PROGRAM, variable)
    assert command_line() == " ".join(program)
    words = ["resume=my runs/it's", "~model.layers.conv3", "--help"]
    assert shlex.split(command_line(*words)) == program + words


@given(st.text(st.characters(exclude_categories=())))
@example("a  b \x1b[2J c\n\n d\udc80")
def test_every_user_error_is_one_line_that_a_terminal_shows(text):
    line = str(UserError(text))
    assert line.isprintable() and "\n" not in line
    assert str(pickle.loads(pickle.dumps(UserError(text)))) == line
    if text.isprintable() and text == text.strip():
        assert line == text


@given(st.lists(st.tuples(WORDS, st.sampled_from(NOISE)), min_size=1, max_size=4), st.sampled_from(["", *STACKS]))
def test_a_library_is_quoted_by_its_words_alone(parts, stack):
    text = " ".join(" ".join(words) + noise for words, noise in parts) + stack
    reason = reason_of(RuntimeError(text), 500)
    assert reason.isprintable()
    for trace in ("\x1b", "0x7f", ".cpp", "frame #", "PyTorch", "most recent", "CapturedTraceback", "enforce"):
        assert trace not in reason
    rest = reason
    for word in (word.rstrip(",") for words, _ in parts for word in words):  # all of them, in their order
        assert word in rest, (word, text, reason)
        rest = rest.partition(word)[2]


@given(st.text(max_size=400), st.integers(20, 300))
def test_a_reason_is_never_empty_and_never_longer_than_asked(text, longest):
    reason = reason_of(ValueError(text), longest)
    assert 0 < len(reason) <= max(longest, len("ValueError"))
    assert reason.isprintable()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: torch.empty(10**16), "allocate memory"),
        (lambda: torch.zeros(2, 3) @ torch.zeros(2, 3), "(2x3 and 2x3)"),
        (lambda: torch.load(io.BytesIO(b"PK\x03\x04" + b"abc" * 100)), "zip archive"),
        (lambda: torch.ops.image.decode_image(torch.zeros(9, dtype=torch.uint8), 0, False), "Unsupported image"),
        (lambda: os.open("/no/such\x1b[31m", os.O_RDONLY), "No such file or directory: /no/such"),
    ],
)
def test_real_errors_of_libraries_and_of_the_system(call, words):
    import torchvision  # noqa: F401  registers torch.ops.image

    with pytest.raises(Exception) as caught:
        call()
    reason = reason_of(caught.value)
    assert words in reason and reason.isprintable()
    assert not any(trace in reason for trace in (".cpp", "[enforce", "Errno", "\x1b", " ,", ",,"))


def test_line_breaks_become_one_space_and_other_spaces_stay():
    assert one_line(" a \r\n  b  c\td ") == "a b  c d"
