"""Settings of data sets and of training."""

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator
from pydantic.config import JsonDict

from services.features.event_types import EngagementType
from services.settings.section import SettingsSection

SplitMethod = Literal["time", "user", "random", "user_time"]


class DatasetSettings(SettingsSection):
    """Labels, negatives and splits of own data that has none; values in the data take precedence."""

    name: str = Field(
        "",
        pattern=r"^([^./\\][^/\\]*)?$",
        description="Name of the data set: its folder below data_dir. Default: the only one there; --data wins.",
    )
    label_events: tuple[EngagementType, ...] = Field(
        (), description="Event types that make a positive label; empty: no labels are made."
    )
    rating_threshold: float | None = Field(
        None,
        description="Least rating that is positive; required if label_events contains rating. The same as "
        "features.liked_from.rating: give one of them.",
    )
    label_window_s: float = Field(
        3600.0, gt=0, description="Seconds after an impression, or a first touch, in which an engagement counts for it."
    )
    negatives: Literal["shown", "sampled"] = Field(
        "shown", description="shown: impressions without engagement, or low ratings; sampled: drawn from the catalogue."
    )
    negatives_per_positive: int = Field(4, ge=1, description="Negatives drawn per positive where they are sampled.")
    negative_sampling: Literal["uniform", "popularity", "mixed"] = Field(
        "uniform",
        description="Draw from all items equally, by their number of engagements so far, or half by either: "
        "metrics are then reported for both.",
    )
    split: SplitMethod = Field(
        "time",
        description="Split labelled rows by time, by user (a hash), at random, or by each user's time (user_time).",
    )
    train_share: float = Field(0.8, gt=0, lt=1, description="Share of labelled rows, or users, to train on.")
    validation_share: float = Field(0.1, gt=0, lt=1, description="Share for validation; the rest is for testing.")
    validation_from: AwareDatetime | None = Field(
        None, description="Time split: begin of validation, with time zone, instead of the shares."
    )
    test_from: AwareDatetime | None = Field(None, description="Time split: begin of the test rows.")
    seed: int = Field(0, ge=0, description="Seed of sampled negatives and of the splits by user and at random.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "rating" in self.label_events and self.rating_threshold is None:
            raise ValueError(
                "rating_threshold is missing, but label_events contains rating: set it, or features.liked_from.rating"
            )
        if self.train_share + self.validation_share >= 1:
            raise ValueError("train_share and validation_share leave nothing to test on")
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("validation_from and test_from go together")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("test_from must be later than validation_from")
        if self.split != "time" and self.validation_from:
            raise ValueError("validation_from and test_from need split = time")
        return self


BY_RULE: JsonDict = {"unset": "by rule"}
"""Of a setting that is not set: the training rows decide, by the rule that its description states."""


class TrainingSettings(SettingsSection):
    """Training of models; what is not set follows from the kind of model and the number of training rows.

    `crossrec train` prints what it takes, with reasons; runs and reports hold it.
    """

    device: str | None = Field(
        None, description="PyTorch device, like cpu or cuda.", json_schema_extra={"unset": "cpu"}
    )
    epochs: int | None = Field(
        None,
        ge=1,
        description="Most passes over the training rows. By rule: 8, of popularity and past_count 3; up to 400 where 8 "
        "passes are fewer than 2,400 steps.",
        json_schema_extra=BY_RULE,
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Passes without a better validation AUC until training stops. By rule: 2, or a quarter of more "
        "than 8 passes.",
        json_schema_extra=BY_RULE,
    )
    batch_rows: int | None = Field(
        None,
        ge=1,
        description="Rows per step. By rule: a power of two near a 300th of the training rows, from 64 to 4,096.",
        json_schema_extra=BY_RULE,
    )
    buffer_rows: int | None = Field(
        None,
        ge=1,
        description="Rows in memory among which users are shuffled.",
        json_schema_extra={"unset": "200000"},
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Adam's at the start, or LightGBM's shrinkage. By kind: networks 0.002, logistic and affine 0.02, "
        "popularity and past_count 0.05, lightgbm 0.1; below 20,000 rows half of it for networks, a quarter for the "
        "affine ones.",
        json_schema_extra=BY_RULE,
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="AdamW's decoupled decay. By rule: 0.00001; of networks 0.01 below 20,000 rows.",
        json_schema_extra=BY_RULE,
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of hidden values that a step leaves out. By rule: 0; 0.3 below 20,000 rows.",
        json_schema_extra=BY_RULE,
    )
    members: int | None = Field(
        None,
        ge=1,
        description="Networks of which P/M models average. By kind: neural 3, affine 1.",
        json_schema_extra=BY_RULE,
    )
    own_weight: float | None = Field(
        None,
        ge=0,
        description="P/M models: weight, beside the score's loss, of the loss of P[i] as the probability of engagement "
        "in scenario i. 0: P has no meaning of its own.",
        json_schema_extra={"unset": "0.5"},
    )
    transfer_pull: float | None = Field(
        None,
        ge=0,
        description="P/M models: weight of the pull of transfer weights to their prior, the own scenario first. 0: "
        "weights move without evidence.",
        json_schema_extra={"unset": "0.001"},
    )
    threads: int | None = Field(
        None,
        ge=0,
        description="Threads that compute; 0: all cores, of networks one where steps are small.",
        json_schema_extra={"unset": "0"},
    )
