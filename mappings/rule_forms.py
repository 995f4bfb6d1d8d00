"""Forms of column mappings: one is a row of its mapping's page, or a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, cast

from django import forms
from django.forms.formsets import DELETION_FIELD_NAME
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminSelectWidget

from common.admin.conflicts import Difference
from common.admin.fields import INPUT, MONO, NamesField, SourceNamesField
from common.admin.forms import (
    CHANGED_MEANWHILE,
    OVERWRITE,
    DocumentForm,
    offer_stored,
    version_of,
    version_of_all,
)
from mappings import options, rules
from mappings.models import (
    ColumnMapping,
    Mapping,
    Overflow,
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

    def has_changed(self, initial: Any, data: Any) -> bool:
        return options.from_text(initial or "") != options.from_text(data or "")


class RuleForm(DocumentForm):
    """One column mapping; the formset says which fields it may write."""

    path_fields: ClassVar = {"config": "option", "config.overflow": "overflow"}

    source_columns = SourceNamesField(help_text="Commas or line breaks between them.")
    target_fields = NamesField(help_text="Commas or line breaks between them.")
    option = OptionField(label="Delimiter or separator")
    overflow = forms.ChoiceField(
        choices=[("", "(drop)"), *((value, value) for value in Overflow.values)],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="What becomes of the pieces that a split has no field for.",
    )

    instance: ColumnMapping
    formset: RulesFormSet | None = None
    words = ""
    """What others are told of the column mapping which has written a field already."""

    class Meta:
        model = ColumnMapping
        fields = ("type", "source_columns", "target_fields")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("type", "source_columns", "target_fields", "option", "overflow"):
            # In a row of a table nothing else says to a reader of the screen what they are.
            label = self.fields[name].label or name.replace("_", " ").capitalize()
            self.fields[name].widget.attrs["aria-label"] = label
        config = self.instance.config or RuleConfig()
        stored = config.delimiter if config.delimiter is not None else config.separator
        self.initial["option"] = options.to_text(stored or "")
        self.initial["overflow"] = config.overflow or ""
        offer_stored(cast("forms.ChoiceField", self.fields["overflow"]), config.overflow)

    def clean(self) -> dict[str, Any] | None:
        if {"type", "option", "overflow"} & set(self.changed_data) or not self.instance.is_stored:
            self.instance.config = self._config()
        targets = self.targets()
        if targets and "target_fields" in self.cleaned_data:
            named = [targets.named(field) for field in self.cleaned_data["target_fields"]]
            self.cleaned_data["target_fields"] = named
        return super().clean()

    def _config(self) -> RuleConfig:
        option = self.cleaned_data.get("option", "")
        overflow = self.cleaned_data.get("overflow") or None
        if self.cleaned_data.get("type") == RuleKind.JOIN:
            return RuleConfig(separator=option, overflow=overflow)
        return RuleConfig(delimiter=option or None, overflow=overflow)

    def overwrites(self) -> bool:
        return self.formset.overwrites if self.formset else super().overwrites()

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
    """The column mappings of a mapping: loaded as documents, checked and written as one set."""

    instance: Mapping

    @cached_property
    def stored(self) -> list[ColumnMapping]:
        found = rules.in_order(self.instance.pk) if self.instance.pk else []
        for rule in found:
            rule.told = self._told_of(rule)  # type: ignore[attr-defined]
        return found

    def _told_of(self, rule: ColumnMapping) -> list[str]:
        """Return what the mapping's last verification says of one of its rules."""
        verification = self.instance.verification
        problems = (verification.problems if verification else None) or []
        return [problem.message for problem in problems if problem.rule_id == rule.pk]

    def get_queryset(self) -> Any:
        if not hasattr(self, "_queryset"):
            self._queryset = self._as_posted() if self.is_bound else self.stored
        return self._queryset

    def _as_posted(self) -> list[ColumnMapping]:
        """Return the rules that the form shows, in its order; one that is gone stands empty."""
        by_id = {str(rule.pk): rule for rule in self.stored}
        posted = [self.data.get(f"{self.prefix}-{i}-id") for i in range(self.initial_form_count())]
        self.gone = [identifier for identifier in posted if identifier not in by_id]
        return [by_id.get(identifier) or ColumnMapping() for identifier in posted]

    gone: Sequence[Any] = ()
    """The ids of rules that the page shows, and that are no longer stored."""

    # --- Versions ---------------------------------------------------------------------------------

    @cached_property
    def overwrites(self) -> bool:
        """Tell whether the sender has seen what is stored now, and saves over it."""
        seen = self.data.get(OVERWRITE) if self.is_bound else None
        return bool(seen) and seen == version_of_all(
            version_of(record) for record in (self.instance, *self.stored)
        )

    def is_stale(self) -> bool:
        return bool(self.gone) or any(form.is_stale() for form in self.forms)

    def differences(self) -> list[Difference]:
        """Return where the rules as they are typed are not those that are stored now."""
        kept = [form.instance for form in self.forms if form not in self.deleted_forms]
        typed = "\n".join(str(rule) for rule in kept if rule.type)
        stored = "\n".join(map(str, rules.in_order(self.instance.pk)))
        return [Difference("Column mappings", typed, stored)] if typed != stored else []

    # --- Forms ------------------------------------------------------------------------------------

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

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if self.overwrites and not form.instance.is_stored:
            # What it names is gone, and is made anew.
            form.fields["id"] = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> None:
        if self.gone and not self.overwrites:
            raise CHANGED_MEANWHILE

    def kept_rules(self) -> list[ColumnMapping]:
        """Return the rules that the mapping has once this is saved."""
        live = [form for form in self.forms if form not in self.deleted_forms]
        return [one.instance for one in live if one.has_changed() or one.instance.is_stored]

    def sound_rules(self) -> list[ColumnMapping]:
        """Return those of the rules that a page keeps of which the form itself refuses nothing."""
        return [
            form.instance
            for form in self.forms
            if not form.errors
            and not form.cleaned_data.get(DELETION_FIELD_NAME)
            and (form.has_changed() or form.instance.is_stored)
        ]

    def save(self, commit: bool = True) -> list[Any]:
        deleted = self.deleted_forms
        live = [form for form in self.forms if form.has_changed() and form not in deleted]
        changed = [form for form in live if form.instance.is_stored]
        self.new_objects = [form.instance for form in live if form not in changed]
        self.changed_objects = [(form.instance, form.changed_data) for form in changed]
        self.deleted_objects = [form.instance for form in deleted if form.instance.is_stored]
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
    """A column mapping on a page of its own; its mapping stays what it is."""

    class Meta(RuleForm.Meta):
        fields = ("type", "source_columns", "target_fields")

    def targets(self) -> Targets:
        return targets_of(self.instance.mapping_id, without=self.instance.pk)
