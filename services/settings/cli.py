"""`crossrec settings` and `crossrec schema`: what is in force, as tables. Knows how they look."""

from rich.table import Table

from services.settings.describe import describe_settings
from services.settings.load import load_settings
from services.settings.terminal import open_console


def settings_command() -> None:
    """Print every setting with its value, unit and meaning, and how to set it."""
    console, table = open_console(), Table("setting", "value", "default", "meaning")
    for setting in describe_settings(load_settings()):
        default = "same" if setting.value == setting.default else str(setting.default)
        table.add_row(setting.name, str(setting.value), default, setting.meaning)
    console.print(table)
    console.print("Set kafka.partitions by CROSSREC_KAFKA__PARTITIONS or in the file CROSSREC_CONFIG names.")


def schema_command() -> None:
    """Print the schema table: every stored feature with view, type, unit, half-life and updater."""
    from services.features.schema import build_schema

    console, built = open_console(), build_schema(load_settings().features)
    table = Table("view", "feature", "type", "values", "what", "half-life", "updated by")
    for view in built.views:
        for feature in view.features:
            length = {-1: "variable", -2: "1"}.get(feature.length, str(feature.length))
            row = (
                view.name,
                feature.name,
                feature.dtype,
                length,
                feature.description,
                feature.half_life,
                feature.updated_by,
            )
            table.add_row(*row)
    console.print(table)
    console.print(f"fingerprint {built.fingerprint}")
