"""Shape names in signatures: `Float[Tensor, "B T E"]`. Plain `Tensor` where jaxtyping is not installed.

Letters: B batch, T time, V vocabulary, E embedding, H hidden, C classes, D documents, N tokens.
"""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:  # a bare GPU machine: the annotations stay readable and mean nothing

        class _Plain:
            def __getitem__(self, item: object) -> type[Tensor]:
                return Tensor

        Bool = Float = Int = _Plain()

__all__ = ["Bool", "Float", "Int", "Tensor"]
