"""Checks the signatures of ulmfit while tests run; an int may stand for a float, as for every type checker."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
