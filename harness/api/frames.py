"""Tables as pandas DataFrames, where pandas is installed."""

from collections.abc import Iterable, Mapping
from typing import Any

from forget512.harness.errors import UserError


def data_frame(columns: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Any:
    """Make a DataFrame from columns by name, or from rows.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UserError("A DataFrame needs pandas: pip install pandas.") from error
    return pandas.DataFrame(columns if isinstance(columns, Mapping) else list(columns))
