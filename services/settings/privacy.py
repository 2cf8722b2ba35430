"""Settings of what is done with the ids of persons."""

from pathlib import Path

from pydantic import Field

from services.settings.section import Section


class PrivacySettings(Section):
    """What users are called in Kafka and in the online store."""

    pseudonym_key_file: Path | None = Field(
        None,
        description="File with the secret key, 32 bytes or more, that user ids are hashed with before they reach Kafka "
        "or the store; the same for gateway, ranking server and commands; not set: ids stay as they are.",
    )
    previous_pseudonym_key_files: tuple[Path, ...] = Field(
        (), description="Files with keys of before; an erasure is published under each, an export looks under each."
    )
