"""The words of a command line: a path arrives as it was typed, whatever its characters; flags stand anywhere."""

import contextlib
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, strategies
from omegaconf import OmegaConf

from conftest import ROOT
from convscope.cli.overrides import hydra_words, keys_of_paths
from convscope.cli.resume import continue_hint
from convscope.cli.sweeps import is_sweep
from convscope.errors import UserError
from random_settings import tried

CONF = ROOT / "conf"
HOSTILE = "'\"\\[]{}(),=~$#& \t\n;|*?:@!%+-.éü照😀\x7f0e1"
CHARACTERS = strategies.characters(exclude_categories=("Cs",), exclude_characters="\0/")
NAMES = strategies.text(strategies.sampled_from(HOSTILE) | CHARACTERS, min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and name.lower() != "null" and len(name.encode()) < 256
)


def words(*typed):
    return hydra_words(typed, CONF, is_sweep)


@pytest.fixture(scope="module")
def every_path(tmp_path_factory):
    """A conf folder that has every key of paths, and composes at once."""
    config = OmegaConf.create({})
    for key in keys_of_paths():
        if not key.startswith("hydra."):
            OmegaConf.update(config, key, None)
    folder = tmp_path_factory.mktemp("conf")
    OmegaConf.save(config, folder / "config.yaml")
    return folder


def composed(conf, overrides):
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("config", overrides=overrides, return_hydra_config=True)


def parsed(override):
    return OverridesParser.create().parse_override(override)


@contextlib.contextmanager
def folder_with(factory, name):
    """An empty working directory that holds one folder of this name."""
    place = factory.mktemp("place")
    (place / name).mkdir()
    with contextlib.chdir(place):
        yield place / name


def value_of(settings, key):
    return OmegaConf.select(settings, key)


@tried(12)
@given(NAMES, strategies.booleans())
@example("it's", False)
@example("~name", False)
@example("???", False)
@example("'quoted'", False)
@example("a${b", True)
@example("${oc.env:HOME}", False)
@example("a,b", False)
@example("[x]", False)
@example(" blanks ", False)
@example("back\\slash\\", False)
@example("1e3", False)
@example("choice(a,b)", False)
def test_any_path_of_a_file_system_passes_through_any_key(every_path, tmp_path_factory, name, is_absolute):
    with folder_with(tmp_path_factory, name) as folder:
        typed, keys = str(folder) if is_absolute else name, sorted(set(keys_of_paths()) - {"resume"})
        if "${" in name:  # Hydra keeps the folder of a run in a setting of its own
            for key in {"hydra.run.dir", "hydra.sweep.dir"}:
                with pytest.raises(UserError, match=r"\$\{ in the name of a folder"):
                    words(f"{key}={typed}")
            keys = [key for key in keys if not key.startswith("hydra.")]
        settings = composed(every_path, words(*(f"{key}={typed}" for key in keys)))
        for key in keys:
            value = value_of(settings, key)
            assert value == typed or typed[0] == "~" or typed == "???"
            assert Path(value).expanduser().samefile(folder)
        written = OmegaConf.to_yaml(OmegaConf.create(OmegaConf.to_container(settings.hydra.overrides)))
        recorded = [word for kind in OmegaConf.to_container(OmegaConf.create(written)).values() for word in kind]
        again = composed(every_path, recorded)
        assert [value_of(again, key) for key in keys] == [value_of(settings, key) for key in keys]
        (resume,) = words(f"resume={typed}")
        assert Path(resume.partition("=")[2]).expanduser().samefile(folder)


@tried(60)
@given(NAMES)
@example("auto")
@example("~")
@example("null")
def test_the_command_that_goes_on_with_a_run_is_taken_back(tmp_path_factory, name):
    with folder_with(tmp_path_factory, name) as folder:
        for run in (folder, Path(name)):
            *_, typed = shlex.split(continue_hint(run, None).partition(": ")[2])
            (word,) = words(typed)
            assert word not in ("resume=auto", "resume=null")
            assert Path(word.partition("=")[2]).expanduser().samefile(folder)
        if "${" not in name:
            sweep = parsed(words(f"hydra.sweep.dir={folder}")[0]).value()
            (typed,) = shlex.split(continue_hint(folder, sweep).partition(" and ")[2])
            assert Path(parsed(words(typed)[0]).value()).samefile(folder)


PLAIN = NAMES.filter(lambda name: name == name.strip() and name[0] not in "'\"[{~" and not set(name) & set(",$\\"))


@tried(15)
@given(PLAIN, PLAIN)
@example("it's", "don't")
@example("photos (2)", "R&D")
@example("8", "true")
def test_several_paths_stay_several_where_a_key_or_a_sweep_takes_them(tmp_path_factory, first, second):
    with contextlib.chdir(tmp_path_factory.mktemp("place")):
        for name in {first, second}:
            Path(name).mkdir()
        several = parsed(words("-m", f"data.root={first},{second}")[1])
        assert [parsed(f"key={value}").value() for value in several.sweep_string_iterator()] == [first, second]
        assert parsed(words(f"ckpt=[{first}, {second}]")[0]).value() == [first, second]
        with pytest.raises(
            UserError, match=r"(?s)names 2 places: -m runs the job once with each, ckpt=\[.*takes them togeth"
        ):
            words(f"ckpt={first},{second}")
        Path(f"{first},{second}").mkdir(parents=True)
        assert parsed(words(f"ckpt={first},{second}")[0]).value() == f"{first},{second}"
