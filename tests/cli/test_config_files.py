"""A mistake in a yaml file of settings is one line with the file and its line, whichever file it is in."""

import re

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hypothesis import given, strategies
from omegaconf import OmegaConf

from conftest import ROOT, convscope
from convscope.cli.config_files import ConfigFile, read_config_file
from convscope.cli.errors import explain_hydra_error
from convscope.errors import UserError
from convscope.runs.config_diff import flattened
from random_settings import tried

CONF = ROOT / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
SOURCE = ConfigFile("main", f"file://{CONF}")
PIECES = ["\t", "{", "}", "[", "'", '"', ":", ": ", "- ", "\n", "\r\n", "  ", "#", "${", "&a ", "*a", "!x ", "%", "@",
          "\x07", "é", "\ufeff", "???", "? ", "|", "---\n", "defaults: 3\n", "off", "{a: b}", "<<: 3\n"]  # fmt: skip


def loaded(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).with_suffix(".yaml").write_bytes(content)
    return ConfigFile("main", f"file://{folder}").load_config(name)


def name_of(path):
    return path.relative_to(CONF).with_suffix("").as_posix()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conf")


@pytest.mark.slow
@tried(100)
@given(strategies.sampled_from(FILES), strategies.data())
def test_a_damaged_file_is_settings_or_one_line_with_its_place(folder, path, data):
    text = path.read_text(encoding="utf-8")
    start = data.draw(strategies.integers(0, len(text)))
    end = data.draw(strategies.integers(start, min(len(text), start + 30)))
    content = (text[:start] + data.draw(strategies.sampled_from(["", *PIECES])) + text[end:]).encode()
    content = content[:end] + data.draw(strategies.sampled_from([b"", b"\xff", b"\xe9"])) + content[end:]
    try:
        result = loaded(folder, name_of(path), content)
    except UserError as mistake:
        problem = str(mistake)
        assert problem.startswith(f"{folder / name_of(path)}.yaml") and "\n" not in problem.strip()
    else:
        assert OmegaConf.is_dict(result.config)
        yaml.safe_load(content.decode())  # a file that is no YAML is refused


@pytest.mark.parametrize("path", FILES[::5], ids=name_of)
def test_marks_and_line_ends_of_windows_change_nothing(path, folder):
    expected, content = SOURCE.load_config(name_of(path)), path.read_bytes()
    for saved in (b"\xef\xbb\xbf" + content, b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")):
        result = loaded(folder, name_of(path), saved)
        assert result.config == expected.config and result.header == expected.header


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        ("optim/own", "lr: 1\nb:\n\tc: 2\n", 3, "a tab; YAML is indented with blanks"),
        ("optim/own", "lr: {a: 1\nb: 2\n", 2, "expected ',' or '}'.*begins in line 1"),
        ("optim/own", "lr: 1\nb: 2\nlr: 3\n", 3, "the key lr stands twice"),
        ("optim/own", "lr: 'x\nb: 3\n", 3, "unexpected end of stream.*begins in line 1"),
        ("optim/own", "lr: 1\n# Gr\xf6\xdfe\n".encode("latin-1"), 2, "bytes that are no UTF-8; save the file as UTF-8"),
        ("optim/own", "lr: 1\n".encode("utf-16"), 1, "bytes that are no UTF-8"),
        ("optim/own", "lr: 1\nb: \x07\n", 2, "a control character"),
        ("optim/own", "- lr: 1\n", 1, "no mapping; settings are lines of key: value"),
        ("optim/own", "lr:1\n", 1, "no mapping"),
        ("optim/own", "lr: 1\nb: ${optim.lr\n", 2, r"\$\{optim.lr is no interpolation"),
        ("experiment/own", "# mine\nseed: 3\n", 1, "the settings of this experiment stand nowhere; begin"),
        ("experiment/own", "# mine\n# @package _global_\nseed: 3\n", 2, "@package is read only at the top"),
        ("experiment/own", "# @package _global_ mine\nseed: 3\n", 1, "Too many components"),
        ("experiment/own", "# @package _global_\ndefaults:\n  - override /evolution: off\n", 3, "on and off mean"),
        ("experiment/own", "# @package _global_\nseed: 3\ndefaults: {model: zfnet}\n", 3, "defaults is a list"),
        ("experiment/own", "# @package _global_\ndefaults:\n  - 3\n", 3, "defaults is a list"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(name, content, line, problem, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path / name}.yaml, line {line}: .*{problem}"):
        loaded(tmp_path, name, content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("group", ["job", "model", "data", "optim", "trainer", "evolution", "experiment"])
def test_an_empty_file_of_a_group_that_needs_settings_is_refused(group, tmp_path):
    with pytest.raises(UserError, match=f"own.yaml is empty; write the settings of {group}=own into it"):
        loaded(tmp_path, f"{group}/own", b"# nothing yet\n")
    assert loaded(tmp_path, "experiment/own", b"# @package _global_\n").config == {}


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "own.yaml").mkdir()
    with pytest.raises(UserError, match="cannot read .*own.yaml: Is a directory"):
        read_config_file(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("override /modle: zfnet", r"no key modle \(did you mean model\?\)"),
        ("override model: zfnet", "model is chosen already; .* in a file: - override /model: <choice>"),
        ("/model: zfnet", "model is chosen already"),
        ("override /model: zfnt", r"no model=zfnt \(did you mean model=zfnet\?\)"),
        ("override /hydra/launcher: slrm", r"no hydra/launcher=slrm \(did you mean hydra/launcher=slurm\?\)"),
    ],
)
def test_a_mistake_that_hydra_finds_while_composing_has_its_line_too(entry, problem, tmp_path, monkeypatch):
    Plugins.instance()  # registers Hydra's own readers
    monkeypatch.setitem(SourcesRegistry.instance().types, "file", ConfigFile)
    text = f"# @package _global_\ndefaults:\n  - {entry}\n"
    loaded(tmp_path, "experiment/own", text.encode())
    typed = [f"hydra.searchpath=['{tmp_path}']", "experiment=own"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        keys = list(flattened(OmegaConf.to_container(compose("config"))))
        with pytest.raises(HydraException) as error:
            compose("config", overrides=typed)
    line = explain_hydra_error(str(error.value), CONF, lambda: keys, typed)
    assert re.match(rf"{tmp_path}/experiment/own.yaml, line 3: {problem}", line) and "\n" not in line


@pytest.mark.parametrize(("group", "key"), [("model", "name"), ("data", "cache_dir")])
def test_a_key_that_an_own_file_lacks_is_told_with_that_choice(group, key, monkeypatch):
    monkeypatch.setattr(ConfigFile, "read", {CONF / "config.yaml": f"a: ${{{group}.{key}}}"})
    message = f"Interpolation key '{group}.{key}' not found"
    assert explain_hydra_error(message, CONF, list, [f"{group}=mine"]) == (
        f"{group}=mine has no {group}.{key}; write it into the file of {group}=mine"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "place"), [("override /modle: zfnet", ", line 3: no key"), ("own", " lead back to")])
def test_a_mistake_in_an_own_experiment_ends_in_one_line_and_leaves_nothing(entry, place, tmp_path):
    own = tmp_path / "conf/experiment/own.yaml"
    loaded(tmp_path / "conf", "experiment/own", f"# @package _global_\ndefaults:\n  - {entry}\n".encode())
    ended = convscope("--config-dir", "conf", "experiment=own", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1 and f"{own}{place}" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


@pytest.mark.slow
def test_a_mistake_in_the_config_of_a_run_is_told_when_it_goes_on(tmp_path):
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/.hydra/config.yaml").write_text("job: train\nmodel: {\nseed: 0\nname: a\n")
    ended = convscope("resume=run", cwd=tmp_path)
    assert ended.returncode == 1 and re.fullmatch(
        r"convscope: resume=run is no folder of a training run: .*/run/.hydra/config.yaml, line 4: .*\n", ended.stderr
    )
