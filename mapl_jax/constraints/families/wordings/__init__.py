"""The sentences of all families: tables of templates, a file for each file of families.

A table maps an id to its forms; `constraints.forms` says what may stand in a template.

May import: constraints.
"""

from mapl_jax.constraints.families.wordings import (
    case,
    combination,
    content,
    formats,
    keywords,
    language,
    length,
    punctuation,
    scope,
    startend,
    topics,
)
from mapl_jax.constraints.forms import Form

_TABLES = (
    case,
    combination,
    content,
    formats,
    keywords,
    language,
    length,
    punctuation,
    scope,
    startend,
    topics,
)

# id of a family -> its forms.
FORMS: dict[str, tuple[Form, ...]] = {
    id: forms for table in _TABLES for id, forms in table.FORMS.items()
}
