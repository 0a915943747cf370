"""Model families: each is a file of this folder that assigns ``FAMILY``, or a plug-in.

`nofx_pipelines.models.family` says what a family offers; the other files here are parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nofx_pipelines import plugins

if TYPE_CHECKING:
    from nofx_pipelines.models.family import Family


def family(name: str, folder: Path | None = None) -> Family:
    """The model family ``name``.

    Parameters
    ----------
    name:
        A built-in's, an installed package's, or ``"module:attribute"``.
    folder:
        The home's folder of plug-ins; None: there is no home.

    Raises
    ------
    ConfigError
        For a name that there is none of.
    PluginError
        For a plug-in that cannot be imported or lacks what a family offers; whatever its code raises
        later, or returns and must not, is a PluginError too.

    Examples
    --------
    >>> family("ridge").space() is None
    True
    """
    reference = plugins.find("families", name, folder)
    member: Family = reference.load()
    if reference.origin == "built-in":
        return member
    from nofx_pipelines.models.families.guarded import guarded_family

    return guarded_family(reference, member)
