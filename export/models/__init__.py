"""The kinds of models, one file each, behind the interface of `export.models.base`; see README.md."""
