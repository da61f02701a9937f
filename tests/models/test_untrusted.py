"""Malicious files are refused in one line by every reader: no code in them runs, and nothing fills the memory."""

import gzip
import zipfile

import pytest
import torch
from torch import nn

from convscope.errors import UserError
from convscope.models.checkpoints import read_checkpoint
from convscope.models.untrusted import is_plain_tensor
from convscope.models.weights_file import read_weights

READERS = [read_checkpoint, lambda path: read_weights(str(path))]


@pytest.fixture(params=READERS, ids=["checkpoint", "weights"])
def refusal(request):
    """The message with which a reader refuses a file."""

    def read(path):
        with pytest.raises(UserError) as problem:
            request.param(path)
        assert "\n" not in str(problem.value) and str(path) in str(problem.value)
        return str(problem.value)

    return read


class Code:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", [lambda code: code, lambda code: {"state_dict": {}, "more": code}])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_does_not_run(content, zipped, refusal, tmp_path):
    torch.save(content(Code(tmp_path / "ran")), tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert "pickled Python objects" in refusal(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()


def test_a_compressed_file_is_not_unpacked(refusal, tmp_path):
    """A few kilobytes could fill the memory: torch.save compresses nothing."""
    content = {"convscope": {}, "state_dict": {"a.weight": torch.zeros(10**6)}}
    torch.save(content, tmp_path / "net.pth")
    with zipfile.ZipFile(tmp_path / "net.pth") as plain, zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.pth").stat().st_size < 10**5
    assert "it is compressed, as torch.save writes no file" in refusal(tmp_path / "bomb.pth")
    (tmp_path / "packed.pth").write_bytes(gzip.compress((tmp_path / "net.pth").read_bytes()))
    assert "cannot be read as" in refusal(tmp_path / "packed.pth")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_net_is_refused(refusal, tmp_path):
    torch.jit.trace(nn.ReLU(), torch.zeros(1)).save(tmp_path / "scripted.pt")
    assert "it holds a whole scripted net" in refusal(tmp_path / "scripted.pt")


def test_a_tensor_is_plain_if_the_file_holds_all_its_numbers():
    assert is_plain_tensor(torch.zeros(2, 3)) and is_plain_tensor(torch.zeros(4)[1:3])
    assert not is_plain_tensor(torch.zeros(1).expand(10**9))
    assert not is_plain_tensor(torch.eye(3).to_sparse())
    assert not is_plain_tensor(torch.zeros(3, device="meta"))
    assert not is_plain_tensor(3.0)
