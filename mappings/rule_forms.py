"""Forms of a mapping's rules: one is a row of the mapping's page, or a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.forms.formsets import DELETION_FIELD_NAME
from unfold.forms import PaginationInlineFormSet

from common.admin.forms import INPUT, MONO, DocumentForm, NamesField
from common.exceptions import Stale
from mappings import options, rules
from mappings.models import (
    ColumnMapping,
    Mapping,
    RuleConfig,
    RuleKind,
    column_names,
    targets_of,
)
from mappings.validation import Targets


class OptionField(forms.CharField):
    """A delimiter or separator: every character counts, and white space can be seen."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput({"class": f"{INPUT} {MONO}", "size": 6, "autocomplete": "off"})
        super().__init__(strip=False, required=False, max_length=100, widget=widget, **kwargs)

    def to_python(self, value: Any) -> str:
        return options.from_text(value or "")

    def prepare_value(self, value: Any) -> Any:
        return value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return options.from_text(initial or "") != options.from_text(data or "")


class RuleForm(DocumentForm):
    """One rule; the formset says which fields it may write."""

    path_fields: ClassVar = {"config": "option"}

    source_columns = NamesField()
    target_fields = NamesField()
    option = OptionField(label="Delimiter or separator")

    instance: ColumnMapping
    formset: RulesFormSet | None = None
    words = ""

    class Meta:
        model = ColumnMapping
        fields = ("type", "source_columns", "target_fields")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.instance.config or RuleConfig()
        stored = config.delimiter if config.delimiter is not None else config.separator
        self.initial["option"] = options.to_text(stored or "")

    def clean(self) -> dict[str, Any] | None:
        kind, option = self.cleaned_data.get("type"), self.cleaned_data.get("option", "")
        if kind == RuleKind.JOIN:
            self.instance.config = RuleConfig(separator=option)
        else:
            self.instance.config = RuleConfig(delimiter=option or None)
        return super().clean()

    def targets(self) -> Targets | None:
        """Return what the rule may write, None while that cannot be told."""
        return self.formset.targets if self.formset else None

    def _post_clean(self) -> None:
        targets = self.targets()
        if targets is None or self.cleaned_data.get(DELETION_FIELD_NAME):
            return
        self.instance.targets = targets
        super()._post_clean()
        # Whoever saves the rule asks anew: others may have written meanwhile.
        self.instance.targets = None
        if not self.errors:
            targets.take(self.instance.target_fields, self.words)


class RulesFormSet(PaginationInlineFormSet):
    """The rules of a mapping: loaded as documents, checked and written as one set."""

    instance: Mapping

    def get_queryset(self) -> Any:
        if not hasattr(self, "_queryset"):
            stored = rules.in_order(self.instance.pk) if self.instance.pk else []
            self._queryset = self._as_posted(stored) if self.is_bound else stored
        return self._queryset

    def _as_posted(self, stored: list[ColumnMapping]) -> list[ColumnMapping]:
        """Return the rules that the form shows, in its order; one that is gone stands empty."""
        by_id = {str(rule.pk): rule for rule in stored}
        shown = [self.data.get(f"{self.prefix}-{i}-id") for i in range(self.initial_form_count())]
        self.lost = [identifier for identifier in shown if identifier not in by_id]
        return [by_id.get(identifier) or ColumnMapping() for identifier in shown]

    lost: Sequence[Any] = ()

    @cached_property
    def targets(self) -> Targets | None:
        """What the set may write: asked for once the mapping's own form was read."""
        schema_id = self.instance.target_schema_id
        return Targets(column_names(schema_id), {}) if schema_id else None

    def _construct_form(self, i: int, **kwargs: Any) -> RuleForm:
        form: RuleForm = super()._construct_form(i, **kwargs)
        form.formset = self
        rule = form.instance
        form.words = (
            f"the {rule.type} rule {rule.pk}" if rule.is_stored else f"the rule in row {i + 1}"
        )
        return form

    def clean(self) -> None:
        if self.lost:
            raise ValidationError(Stale().detail, code=Stale.code)

    def save(self, commit: bool = True) -> list[Any]:
        doomed = self.deleted_forms
        live = [form for form in self.forms if form.has_changed() and form not in doomed]
        changed = [form for form in live if form in self.initial_forms]
        self.new_objects = [form.instance for form in live if form not in changed]
        self.changed_objects = [(form.instance, form.changed_data) for form in changed]
        self.deleted_objects = [form.instance for form in doomed if form.instance.is_stored]
        for rule in self.new_objects:
            rule.mapping = self.instance
        rules.change(
            self.instance.pk,
            self.deleted_objects,
            [form.instance for form in changed],
            self.new_objects,
        )
        return [form.instance for form in live]

    def save_m2m(self) -> None:
        """There is nothing of the kind."""


class LoneRuleForm(RuleForm):
    """A rule on a page of its own; its mapping stays what it is."""

    class Meta(RuleForm.Meta):
        fields = ("type", "source_columns", "target_fields")

    def targets(self) -> Targets:
        return targets_of(self.instance.mapping_id, without=self.instance.pk)
