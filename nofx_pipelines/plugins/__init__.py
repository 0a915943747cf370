"""Members of families by name: a file in a folder of ours, a file of the user's, an installed package.

A family (feature sets, detectors, gates, …) is a folder of this package. A member is a file in it that
assigns the family's one attribute at its top level (``FEATURES = …``, ``GATE = …``); other files in the
folder are parts. So names are known by listing the folder, without an import, and a new file is a new member.

Wherever ``nofx.toml`` takes a member's name it also takes ``"module:attribute"``: a file of the home's
folder ``plugins`` first, then an importable module. Installed packages may announce members by entry points
in the group ``nofx_pipelines.<kind>``; one that is named like a built-in is refused. Nothing is imported
before it is used.

A home's files are imported under a package name of that home's own, so that a file called ``json.py``
shadows nothing and two homes do not meet. They are compiled from their text at every load: a changed file is
another module at once. A file beside a plug-in is imported as ``from . import name``.
"""

from nofx_pipelines.plugins.kinds import KINDS, Kind, builtin_names
from nofx_pipelines.plugins.reference import (
    FOLDER,
    GROUP,
    Reference,
    announced_members,
    find,
    home_files,
    known_names,
    load,
    plugin_digests,
    refused_members,
)

__all__ = [
    "FOLDER",
    "GROUP",
    "KINDS",
    "Kind",
    "Reference",
    "announced_members",
    "builtin_names",
    "find",
    "home_files",
    "known_names",
    "load",
    "plugin_digests",
    "refused_members",
]
