"""Requests and answers of `/v1/fine_tuning/jobs`, and of `/v1/fine-tunes` of 2023."""

from typing import Annotated, Any, ClassVar, Literal, Self

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, Field, field_validator, model_validator

from api.schemas.base import ApiRequest, wrong
from fine_tuning.models import FineTune

Auto = Literal["auto"]
Epochs = Auto | Annotated[int, Field(ge=1, le=50)]
Batch = Auto | Annotated[int, Field(ge=1, le=256)]
Multiplier = Auto | Annotated[float, Field(ge=1e-4, le=100)]
MAX_METADATA = 16
Id = Annotated[str, Field(min_length=1, max_length=200)]
Metadata = dict[
    Annotated[str, Field(min_length=1, max_length=64)],
    Annotated[str, Field(max_length=512)],
]
Scope = Literal["head", "blocks", "lora", "full"]
GRADER = {"type": "python", "name": "the site's reward model", "source": ""}
"""The grader of a reinforcement job as today's client reads it; a client may send it back as it came."""


class Hyperparameters(ApiRequest):
    n_epochs: Epochs | None = Field(None, description="Times that each line is read.")
    batch_size: Batch | None = Field(None, description="Lines of a step.")
    learning_rate_multiplier: Multiplier | None = Field(None, description="Of the rate that fits the model's size.")
    prompt_loss_weight: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="What a prompt's tokens weigh beside a completion's."
    )
    beta: Auto | Annotated[float, Field(ge=1e-3, le=10)] | None = Field(
        None, description="Of dpo: how dearly the distance from the base is paid for."
    )

    ignored: ClassVar[frozenset[str]] = frozenset(
        {"compute_multiplier", "eval_interval", "eval_samples", "reasoning_effort"}
    )


class MethodSettings(ApiRequest):
    hyperparameters: Hyperparameters | None = None
    grader: dict[str, Any] | None = Field(
        None,
        description=_("For reinforcement learning: the site's own reward model, as returned by a job. Optional."),
    )

    @field_validator("grader")
    @classmethod
    def _check_grader(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if given not in (None, GRADER):
            raise wrong("grader", "replies are judged by the site's own reward model here; leave it out")
        return given


class FineTuningMethod(ApiRequest):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodSettings | None = None
    dpo: MethodSettings | None = None
    reinforcement: MethodSettings | None = None

    def given(self) -> Hyperparameters | None:
        settings: MethodSettings | None = getattr(self, self.type)
        return settings.hyperparameters if settings is not None else None


class JobRequest(ApiRequest):
    model: Id = Field(description=_("The model to start from."))
    training_file: Id = Field(description=_("Id of a file with the purpose fine-tune."))
    validation_file: Id | None = Field(
        None, description=_("If omitted, a tenth of the lines, at most 50, is held out for validation.")
    )
    suffix: Annotated[str, Field(max_length=64)] | None = Field(
        None, description=_("Suffix of the new model's name.")
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        None, description=_("The same seed gives the same model.")
    )
    metadata: Annotated[Metadata, Field(max_length=MAX_METADATA)] | None = None
    hyperparameters: Hyperparameters | None = None
    method: FineTuningMethod | None = None
    scope: Scope | None = Field(
        None,
        description=_(
            "Which part of the model is trained: its output layer, its last blocks, LoRA adapters, or all weights."
        ),
    )

    refused: ClassVar[dict[str, tuple[Any, ...]]] = {"integrations": (None, [])}

    @model_validator(mode="after")
    def _check_hyperparameters_stand_once(self) -> Self:
        if self.hyperparameters is not None and self.method is not None and self.method.given() is not None:
            raise wrong("hyperparameters", "stand in `method` already")
        return self

    def hyperparameters_given(self) -> dict[str, Any]:
        found = self.hyperparameters or (self.method.given() if self.method else None)
        return found.model_dump(exclude_none=True) if found is not None else {}

    def method_name(self) -> str:
        return self.method.type if self.method is not None else FineTune.Method.SUPERVISED.value


class LegacyRequest(ApiRequest):
    training_file: Id
    validation_file: Id | None = None
    model: Id = "curie"
    suffix: Annotated[str, Field(max_length=64)] | None = None
    n_epochs: Annotated[int, Field(ge=1, le=50)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    learning_rate_multiplier: Annotated[float, Field(ge=1e-4, le=100)] | None = None
    prompt_loss_weight: Annotated[float, Field(ge=0, le=1)] | None = None

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "compute_classification_metrics",
            "classification_n_classes",
            "classification_positive_class",
            "classification_betas",
        }
    )

    def hyperparameters_given(self) -> dict[str, Any]:
        names = ("n_epochs", "batch_size", "learning_rate_multiplier", "prompt_loss_weight")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


# --- what is answered -----------------------------------------------------------------------------------------


class JobError(BaseModel):
    code: str
    message: str
    param: str | None


class Job(BaseModel):
    id: str
    object: Literal["fine_tuning.job"]
    created_at: int
    error: JobError | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: dict[str, Any]
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    is_paused: bool
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: list[Any]
    metadata: dict[str, str] | None
    method: dict[str, Any]
    scope: Scope


class JobEvent(BaseModel):
    id: str
    object: Literal["fine_tuning.job.event"]
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any] | None
    type: Literal["message", "metrics"]


class JobCheckpoint(BaseModel):
    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, float]
    step_number: int


class JobPage(BaseModel):
    object: Literal["list"]
    has_more: bool
    first_id: str | None
    last_id: str | None


class JobList(JobPage):
    data: list[Job]


class EventList(JobPage):
    data: list[JobEvent]


class CheckpointList(JobPage):
    data: list[JobCheckpoint]


class LegacyEvent(BaseModel):
    object: Literal["fine-tune-event"]
    created_at: int
    level: str
    message: str


class LegacyJob(BaseModel):
    id: str
    object: Literal["fine-tune"]
    model: str
    created_at: int
    updated_at: int
    status: Literal["pending", "running", "succeeded", "failed", "cancelled"]
    fine_tuned_model: str | None
    organization_id: str
    hyperparams: dict[str, Any]
    training_files: list[dict[str, Any]]
    validation_files: list[dict[str, Any]]
    result_files: list[dict[str, Any]]
    events: list[LegacyEvent] | None = None


class LegacyList(BaseModel):
    object: Literal["list"]
    data: list[LegacyJob]


class LegacyEvents(BaseModel):
    object: Literal["list"]
    data: list[LegacyEvent]
