"""What `import ulmfit` offers."""

from types import ModuleType

import pytest

import ulmfit


@pytest.mark.parametrize("name", ulmfit.__all__)
def test_every_name_imports_and_comes_from_where_it_is_said_to(name: str) -> None:
    found = getattr(ulmfit, name)
    if isinstance(found, ModuleType):
        assert found.__name__ == f"ulmfit.{name}" and found.__doc__
        return
    if name.isupper():  # a constant
        assert type(found).__module__ == ulmfit._HOME[name]
        return
    assert found.__name__ == name
    assert found.__module__ in (ulmfit._HOME[name], "ulmfit.text.readers")
    assert found.__doc__


def test_names_are_listed_and_others_unknown() -> None:
    assert dir(ulmfit) == ulmfit.__all__ == sorted(set(ulmfit.__all__))
    with pytest.raises(AttributeError, match="nosuch"):
        _ = ulmfit.nosuch
