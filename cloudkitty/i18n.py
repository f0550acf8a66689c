# SPDX-License-Identifier: Apache-2.0
"""Texts that users of the API read, in the language that they ask for.

Invariants: inside, in logs, and for whoever asks for no language of which there is a catalogue, a
text is the English one of the source, whatever the locale of the process; a translation that does
not fit its values is passed over.
"""

from typing import Self

import oslo_i18n

DOMAIN = "cloudkitty"
ENGLISH = "en_US"

# Texts are marked when modules are imported, long before anybody says which language is wanted.
oslo_i18n.enable_lazy()

_ = oslo_i18n.TranslatorFactory(domain=DOMAIN).primary
"""Marks a text, which is translated when it is answered."""


def translate(text: str, language: str | None = None) -> str:
    """Return *text* in *language*, the name of a locale; ``None`` is English.

    What was not marked, or has no translation, stays as it is.
    """
    return str(oslo_i18n.translate(text, language or ENGLISH))


def languages() -> dict[str, str]:
    """Return the locales that there are catalogues for, by their tags in HTTP."""
    locales = oslo_i18n.get_available_languages(DOMAIN)
    return {"en": ENGLISH, **{locale.replace("_", "-"): locale for locale in locales}}


class TranslatableError(Exception):
    """An error whose text is a marked template with values; values may be marked texts too.

    ``str`` is the English text.
    """

    def __init__(self, template: str, /, **values: object) -> None:
        self._template = template
        self._values = values
        super().__init__(self.told())

    @classmethod
    def like(cls, other: "TranslatableError") -> Self:
        """Return an error of this kind that says what *other* says."""
        return cls(other._template, **other._values)

    def told(self, language: str | None = None) -> str:
        """Return the text in *language*, the name of a locale; ``None`` is English."""
        if language is not None:
            try:
                return self._filled(language)
            except (LookupError, ValueError, AttributeError):
                # The catalogue is wrong; that is no reason to fail.
                pass
        return self._filled(None)

    def _filled(self, language: str | None) -> str:
        values = {
            name: translate(value, language) if isinstance(value, str) else value
            for name, value in self._values.items()
        }
        template = translate(self._template, language)
        return template.format(**values) if values else template
