# SPDX-License-Identifier: Apache-2.0
"""A small catalogue of translations, as a package of translations would install it."""

import pathlib

from babel.messages import mofile
from babel.messages.catalog import Catalog

VARIABLE = "CLOUDKITTY_LOCALEDIR"
"""Names the directory of catalogues, where it is not the system's."""

GERMAN = {
    "The resource could not be found.": "Das gibt es nicht.",
    'Missing argument: "{name}"': 'Es fehlt: "{name}"',
    "The service failed to handle the request; its log says why.": "Der Dienst hat versagt.",
    "{noun} {name} already exists (UUID: {taken_by})": "{noun} {name} gibt es schon "
    "(UUID: {taken_by})",
    "No such group: None (UUID: {group_id})": "Keine Gruppe (UUID: {group_id})",
    "Invalid input for field/attribute {name}. Value: '{value}'. {problem}": "{name} ist nicht "
    "'{value}': {problem}",
    "Mandatory field missing.": "Pflichtfeld.",
    # A translator's mistake.
    "The body of the request is larger than {limit} bytes.": "Mehr als {grenze} Bytes.",
}


def install(directory: pathlib.Path, locale: str) -> None:
    """Write the catalogue below *directory*, under the name of a locale."""
    catalogue = Catalog(locale=locale, domain="cloudkitty")
    for text, translation in GERMAN.items():
        catalogue.add(text, translation)
    path = directory / locale / "LC_MESSAGES" / "cloudkitty.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as target:
        mofile.write_mo(target, catalogue)
