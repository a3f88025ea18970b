"""Answers of `/v1/models` and `/v1/engines`."""

from typing import Literal

from pydantic import BaseModel


class ModelObject(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelObject]


class EngineObject(BaseModel):
    id: str
    object: Literal["engine"]
    owner: str
    ready: bool


class EngineList(BaseModel):
    object: Literal["list"]
    data: list[EngineObject]
