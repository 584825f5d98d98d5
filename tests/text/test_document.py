import pytest

from ulmfit.text.document import Document, Label, class_name


@pytest.mark.parametrize(("label", "name"), [("pos", "pos"), (1, "1"), (True, "True")])
def test_a_class_has_a_name(label: Label, name: str) -> None:
    assert class_name(Document("a text", label).label or "") == name


@pytest.mark.parametrize(("label", "what"), [(0.5, "a number"), (("a", "b"), "several labels")])
def test_a_label_of_another_kind_is_no_class(label: Label, what: str) -> None:
    with pytest.raises(ValueError, match=f"is {what}; expected one class per text"):
        class_name(label)
