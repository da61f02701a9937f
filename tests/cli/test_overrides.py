"""The words of a command line: a path arrives as it was typed, whatever its characters; flags stand anywhere."""

import contextlib
import os
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
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


def words(*typed, is_sweep=is_sweep):
    return hydra_words(typed, CONF, is_sweep)


def parsed(override):
    return OverridesParser.create().parse_override(override)


@contextlib.contextmanager
def folder_with(factory, name):
    """An empty working directory that holds one folder of this name."""
    place = factory.mktemp("place")
    (place / name).mkdir()
    with contextlib.chdir(place):
        yield place / name


def updated(overrides):
    """What these overrides make of settings without any key."""
    settings = OmegaConf.create()
    for override in map(parsed, overrides):
        OmegaConf.update(settings, override.key_or_group, override.value())
    return settings


@pytest.mark.slow
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
def test_any_path_of_a_file_system_passes_through_any_key(tmp_path_factory, name, is_absolute):
    with folder_with(tmp_path_factory, name) as folder:
        typed, keys = str(folder) if is_absolute else name, sorted(set(keys_of_paths()) - {"resume"})
        if "${" in name:  # Hydra keeps the folder of a run in a setting of its own
            for key in {"hydra.run.dir", "hydra.sweep.dir"}:
                with pytest.raises(UserError, match=r"\$\{ in the name of a folder"):
                    words(f"{key}={typed}")
            keys = [key for key in keys if not key.startswith("hydra.")]
        overrides = words(*(f"{key}={typed}" for key in keys))
        settings = updated(overrides)
        for key in keys:
            value = OmegaConf.select(settings, key)
            assert value == typed or typed[0] == "~" or typed == "???"
            assert Path(value).expanduser().samefile(folder)
        recorded = OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(overrides)))  # as .hydra/overrides.yaml
        assert updated(OmegaConf.to_container(recorded)) == settings
        (resume,) = words(f"resume={typed}")
        assert Path(resume.partition("=")[2]).expanduser().samefile(folder)


@pytest.mark.parametrize("name", ["it's (R&D), 照片 lr=0.1\\", "8"])
def test_a_path_of_any_name_arrives_in_the_composed_settings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    keys = ["ckpt", "data.root", "model.init", "hydra.run.dir", "hydra.sweep.dir"]
    overrides = words("job=occlude", "data=folder", *(f"{key}={name}" for key in keys))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = compose("config", overrides=overrides, return_hydra_config=True)
    assert [OmegaConf.select(settings, key) for key in keys] == len(keys) * [name]


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
            words(f"ckpt={first},{second}", is_sweep=lambda *_: False)
        Path(f"{first},{second}").mkdir(parents=True)
        assert parsed(words(f"ckpt={first},{second}", is_sweep=lambda *_: False)[0]).value() == f"{first},{second}"


FLAGS = [["-m"], ["--cfg", "job"], ["-c", "all", "--resolve"], ["--package", "hydra"], ["-cn", "config"],
         ["--config-dir", "/"], ["-cd=/"], ["--info", "plugins"], ["-sc"], ["--multi"], []]  # fmt: skip
TYPED = [
    "seed=1",
    "model=zfnet",
    "~trainer",
    "+a.b=[1,2]",
    "name=a b",
    "hydra.run.dir=x",
    "optim.lr=-1",
    "optim.lr=1,2",
]


@tried(60)
@given(strategies.sampled_from(FLAGS), strategies.lists(strategies.sampled_from(TYPED)), strategies.integers(0, 8))
def test_flags_stand_anywhere_among_the_words(flags, overrides, place):
    expected = get_args_parser().parse_args([*flags, *overrides])
    assert get_args_parser().parse_args(words(*overrides[:place], *flags, *overrides[place:])) == expected


def test_every_flag_of_hydra_is_known():
    for action in get_args_parser()._actions:
        for flag in action.option_strings if action.dest != "version" else ():
            value = [action.choices[0]] if action.choices else ["/" if "config" in action.dest else __file__]
            other = ["--cfg", "job"] if flag == "--resolve" else []
            assert words(*other, flag, *(value if action.nargs != 0 else [])), flag


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--optim.lr=0.01"], "--optim.lr=0.01 is no flag; settings are typed without dashes: optim.lr=0.01"),
        (["-optim.lr=1"], "-optim.lr=1 is no flag; settings are typed without dashes: optim.lr=1"),
        (["--model", "zfnet"], "--model is no flag; settings are typed without dashes: model=zfnet"),
        (["--name=R&D"], "typed without dashes: 'name=R&D'"),
        (["--multi-run", "seed=0,1"], r"--multi-run is no flag \(did you mean --multirun\?\); flags: --help, "),
        (["--gpus"], "--gpus is no flag; flags: .*; settings are typed as gpus=<value>"),
        (["--con", "x"], "--con is no flag"),
        (["-cfg", "job"], "-cfg is no flag; type --cfg"),
        (["seed=1", "--cfg"], "--cfg/-c: expected one argument; python src/run.py --hydra-help describes"),
        (["--cfg", "seed=1"], "--cfg/-c: invalid choice: 'seed=1'"),
        (["-m", "--cfg", "job"], "--cfg and --multirun do not go together; type one of them"),
        (["--resolve"], "--resolve belongs to --cfg; type --cfg job --resolve"),
        (["--config-dir", "/nowhere"], "--config-dir=/nowhere is no folder"),
        (["--config-dir", ""], "--config-dir= is no folder; is the variable after it set?"),
        (["--experimental-rerun", "/nowhere"], "--experimental-rerun=/nowhere is no file"),
        (["evaluate"], r"evaluate has no value \(did you mean job=evaluate\?\); overrides are key=value"),
        (["transfer"], r"transfer has no value \(did you mean experiment=transfer or job=transfer\?\)"),
        (["photos (2)"], r"photos \(2\) has no value; overrides are"),
        (["-1"], "-1 has no value"),
        (["modèle=zfnet"], "modèle=zfnet: modèle is no key; a key has letters"),
        (["=3"], "=3: nothing is no key"),
        (["evolution.layers=[conv1"], r"evolution.layers=\[conv1 lacks its closing \]; as one text .*typed \"evo"),
        (["optim.lr='1"], "optim.lr='1 lacks its closing '; as one text"),
        (["seed=range(1"], r"seed=range\(1 is no list, mapping or sweep"),
    ],
)  # fmt: skip
def test_words_that_hydra_would_refuse_by_its_usage_or_grammar_are_one_line(typed, message):
    with pytest.raises(UserError, match=message) as refusal:
        words(*typed)
    assert "\n" not in str(refusal.value) and "Exception" not in str(refusal.value)


@pytest.mark.parametrize("key", sorted(keys_of_paths()))
@pytest.mark.parametrize("value", ["", "''", '""', "  "])
def test_a_key_of_paths_whose_variable_is_unset_is_refused(key, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"{key}={value} names nothing; is the variable after it set"):
        words(f"{key}={value}")


@tried(60)
@given(strategies.text(strategies.sampled_from(HOSTILE) | CHARACTERS, max_size=20))
def test_text_that_the_grammar_refuses_is_text_as_typed_or_one_line(text):
    try:
        parsed(f"name={text}")
    except HydraException:
        value = parsed(words(f"name={text}")[0]).value()
        assert OmegaConf.create({"name": value}).name == text if "${" not in text else "${" in value
        with contextlib.suppress(UserError):
            (word,) = words(f"optim.lr={text}")
            assert parsed(word).value() in (text, value)
    else:
        assert words(f"name={text}") == [f"name={text}"]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("null", None),
        ("'it\\'s'", "it's"),
        ('"a b"', "a b"),
        ("a\\=b", "a=b"),
        ("${data.cache_dir}/it's", "${data.cache_dir}/it's"),
        ("${oc.env:HOME}/x", "${oc.env:HOME}/x"),
        ("~/photos", "~/photos"),
        ("8", "8"),
        ("[x]", "[x]"),
        ("a${b", "a\\${b"),
        ("photos (2)", "photos (2)"),
        ("new,folder", "new,folder"),
    ],
)
def test_what_names_no_file_keeps_the_meaning_it_has_in_hydra(value, meaning, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key in ("data.root", "+data.root", "++model.init"):
        assert parsed(words(f"{key}={value}")[0]).value() == meaning


def test_quotes_and_escapes_lead_to_the_file_that_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert parsed(words("data.root='a'")[0]).value() == "a"
    (tmp_path / "'a'").mkdir()
    assert parsed(words("data.root='a'")[0]).value() == "a"  # both exist
    (tmp_path / "a").rmdir()
    assert parsed(words("data.root='a'")[0]).value() == "'a'"
    home = words("hydra.run.dir=~/runs")[0].partition("=")[2]
    assert home == os.path.expanduser("~/runs")


def test_an_experiment_that_is_a_sweep_takes_several_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).touch()
    assert parsed(words("experiment=transfer", "model.init=a,b")[1]).is_sweep_override()
    with pytest.raises(UserError, match="model.init=a,b names 2 places: -m runs the job once with each$"):
        words("experiment=demo", "model.init=a,b")
