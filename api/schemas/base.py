"""What schemas share: the base class of request bodies, and the answer to a deletion."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


def wrong(param: str, message: str) -> PydanticCustomError:
    """An error of parameters that do not fit together; the answer names `param` as the wrong one (api.endpoints)."""
    return PydanticCustomError("wrong", message, {"param": param})


class ApiRequest(BaseModel):
    """A JSON body. Unknown parameters are refused, since they are typing errors; null counts as left out."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    ignored: ClassVar[frozenset[str]] = frozenset()
    """Parameters of OpenAI's that would not change the completion here."""
    refused: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Parameters of OpenAI's that this site does not serve, with the values that mean "not used"."""

    @model_validator(mode="before")
    @classmethod
    def _drop_unused_parameters(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, harmless in cls.refused.items():
            if name in values and values[name] not in harmless:
                raise wrong(name, "this site does not serve it")
        dropped = cls.ignored | set(cls.refused)
        return {name: value for name, value in values.items() if name not in dropped and value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        resolved = handler.resolve_ref_schema(handler(schema))
        for name in sorted(cls.ignored):
            resolved["properties"].setdefault(name, {"description": _("Accepted but ignored.")})
        return resolved


class DeletedObject(BaseModel):
    id: str
    object: str
    deleted: bool
