"""Which record a production of the grammar makes, and which of its parts is which field."""

from __future__ import annotations

from typing import Any

from circuitspec.language import syntax as s

SHAPES: dict[str, tuple[type, str]] = {
    # file
    "use": (s.Use, "path"),
    "use_names": (s.Use, "names path"),
    "hypothesis": (s.Hypothesis, "doc name refines statements*"),
    # task
    "task": (s.Task, "doc name statements"),
    "template": (s.Template, "name text"),
    "slot_drawn": (s.Slot, "names source constraints*"),
    "slot_computed": (s.Slot, "names value constraints*"),
    "words": (s.Words, "name source"),
    "word_list": (s.WordList, "words*"),
    "words_file": (s.WordsFile, "path"),
    "integer_range": (s.IntegerRange, "first last"),
    "table": (s.Table, "name entries*"),
    "position_declaration": (s.PositionDeclaration, "name value"),
    "metric": (s.Metric, "name value"),
    "baseline": (s.Baseline, "name value"),
    "count": (s.Count, "number"),
    "count_each": (s.Count, "number each_template=True"),
    "bos_yes": (s.Bos, "prepend=True"),
    "bos_no": (s.Bos, "prepend=False"),
    "token_range": (s.Tokens, "range"),
    "answers_spaced": (s.Answers, "style=spaced"),
    "answers_glued": (s.Answers, "style=glued"),
    "prompts": (s.PromptsFile, "path"),
    # circuit
    "model": (s.ModelStatement, "reference revision"),
    "open": (s.Open, "nodes at reason"),
    "keep": (s.Keep, "targets at"),
    "edge": (s.Edge, "senders receivers at"),
    "edge_within": (s.Edge, "within at senders=() receivers=()"),
    "group": (s.Group, "name roles"),
    "drop": (s.Drop, "roles"),
    "sweep_model": (s.Sweep, "values* over=model"),
    "sweep_revision": (s.Sweep, "values* over=revision"),
    "sweep_open": (s.Sweep, "over=open"),
    # claims
    "zero": (s.AblationValue, "kind=zero"),
    "mean": (s.AblationValue, "baseline over kind=mean"),
    "resample": (s.AblationValue, "baseline draws kind=resample"),
    "counterfactual": (s.AblationValue, "baseline kind=counterfactual"),
    "noise": (s.AblationValue, "scale kind=noise"),
    "scrub": (s.Scrub, "roles over draws"),
    "given": (s.Given, "targets"),
    "run": (s.Run, "baseline restore at"),
    "each": (s.Each, "unit"),
    "given_all": (s.GivenSet, "given"),
    "given_before": (s.GivenSet, "given before=True"),
    "given_role": (s.GivenSet, ""),
    "given_all_for": (s.GivenSet, "members given"),
    "given_before_for": (s.GivenSet, "members given before=True"),
    "given_role_for": (s.GivenSet, "members"),
    "accept": (s.Accept, "what"),
    "until": (s.Until, "at_most"),
    "require_bound": (s.Require, "each left operator right level"),
    "require_within": (s.Require, "each left tolerance right level operator=within"),
    "require_equal": (s.Require, "each left right tolerance level operator==="),
    # positions and expressions
    "paired": (s.PositionList, "positions* paired=True"),
    "listed": (s.PositionList, "positions*"),
    "everywhere": (s.PositionExpr, "label=*"),
}
"""Fields in the order of the parts; `x*` takes all that are left, `x=y` is the same every time.

A part that was left out keeps the field's default.
"""

_CONSTANTS: dict[str, Any] = {"True": True, "False": False, "()": ()}


class Shape:
    """A row of `SHAPES`, ready to be used: `make(parts)` gives the fields of the record."""

    __slots__ = ("constants", "fields", "record", "rest")

    def __init__(self, record: type, fields: str) -> None:
        self.record = record
        words = fields.split()
        self.fields = [word for word in words if "=" not in word and not word.endswith("*")]
        self.rest = next(
            (word[:-1] for word in words if word.endswith("*") and "=" not in word), ""
        )
        self.constants: dict[str, Any] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if equals:
                self.constants[name] = _CONSTANTS.get(value, value)

    def make(self, parts: list[Any]) -> dict[str, Any]:
        """The fields of the record but its span."""
        values = {
            name: part for name, part in zip(self.fields, parts, strict=False) if part is not None
        }
        if self.rest:
            values[self.rest] = tuple(parts[len(self.fields) :])
        return values | self.constants
