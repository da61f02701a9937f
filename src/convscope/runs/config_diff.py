"""Differences between the settings of runs: a difference in results can be put down to the only setting that differs.

Settings are nested mappings, as .hydra/config.yaml holds them; flat settings have dotted keys.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from convscope.runs.reading import Run, value_at

# A run's name, its machine, its pictures, its loggers and its seed: runs that differ in these repeat one experiment.
IRRELEVANT_KEYS = ("name", "seed", "model.name", "evolution.*", "logger.*", "logger", "trainer.accelerator",
                   "trainer.devices", "trainer.strategy", "trainer.num_nodes", "optim.compile", "data.workers",
                   "data.cache_*", "ckpt", "run", "resume", "experiment")  # fmt: skip
KEY_GROUPS = ("model.layers.", "model.", "data.", "optim.", "trainer.")  # omitted from keys in words
LONGEST_DIFFERENCE = 64  # characters of the differences of one group in words; job=table writes all into a csv file


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The nested settings as flat ones. An empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def differing_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> set[str]:
    """The dotted keys whose values differ; an absent key, as of an older run, counts as None."""
    a, b = flattened(first), flattened(second)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def differ_only_in(first: Mapping[str, Any], second: Mapping[str, Any], patterns: Collection[str]) -> bool:
    """Whether all differing keys match one of the patterns, or are irrelevant to the result."""
    allowed = (*IRRELEVANT_KEYS, *patterns)
    return all(any(fnmatchcase(key, pattern) for pattern in allowed) for key in differing_keys(first, second))


def affects_result(run: Run, key: str) -> bool:
    """Whether a setting may change the result. The name of a net from another library says which net it is."""
    if key == "model.name":
        return value_at(run.settings, "model", "source") != "rows"
    return not any(fnmatchcase(key, pattern) for pattern in IRRELEVANT_KEYS)


def differences_in_words(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each of the flat settings the values that differ: "conv1 kernel 11, stride 4; renorm 0.1".

    Omits values that more than half of three or more have. All must have the same keys.
    """
    usual = {key: _usual([values[key] for values in settings]) for key in (settings[0] if settings else ())}
    return [
        _in_words({key: value for key, value in values.items() if repr(value) != usual[key]}) for values in settings
    ]


def _usual(values: Sequence[Any]) -> str | None:
    """repr of the value that more than half of the groups have, None without one or for fewer than three groups."""
    value, count = Counter(map(repr, values)).most_common(1)[0]
    return value if count > len(values) / 2 and len(values) > 2 else None


def _in_words(values: Mapping[str, Any]) -> str:
    rows: dict[str, dict[str, Any]] = {}
    for key, value in sorted(values.items(), key=lambda item: item[0].startswith(KEY_GROUPS[0])):  # the net's rows last
        group = next((group for group in KEY_GROUPS if key.startswith(group)), "")
        row, _, field = key.removeprefix(group).rpartition(".")
        rows.setdefault(row, {})[field] = value
    parts = [_row_in_words(row, fields) for row, fields in rows.items()]
    for count in range(1, len(parts)):
        if len("; ".join(parts[: count + 1])) > LONGEST_DIFFERENCE:
            return f"{'; '.join(parts[:count])}; and {len(parts) - count} more"
    return "; ".join(parts)


def _row_in_words(row: str, fields: Mapping[str, Any]) -> str:
    """The fields of one row of the net. A row whose fields are all None was taken out of the net."""
    if row and len(fields) > 1 and all(value is None for value in fields.values()):
        return f"no {row}"
    values = (f"{field} {'none' if value is None else value}" for field, value in fields.items())
    return f"{row} {', '.join(values)}".strip()
