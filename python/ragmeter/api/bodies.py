"""Bodies: what requests bring. Keys stay secret in whatever shows a body."""

from __future__ import annotations

from decimal import Decimal  # noqa: TC003 - pydantic needs it
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

__all__ = [
    "AddLlm", "ChangeTenant", "DefaultModel", "LlmName", "LlmStatus", "MakeTenant", "MakeToken", "SetApiKey",
    "SetLimit", "SetQuota",
]  # fmt: skip

_MOST = 2**63 - 1


def _printable(text: str) -> str:
    if not text.isprintable():
        msg = "control characters are not allowed"
        raise ValueError(msg)
    return text


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
Title = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
Url = Annotated[str, Field(max_length=1024, pattern=r"^(https?://\S+)?$")]
Key = SecretStr | dict[str, Any]


class _Keyed(BaseModel):
    """A body with a key. The parts of a key that has several may stand beside it: `yiyan_ak`, `bedrock_sk`."""

    model_config = ConfigDict(extra="allow")

    def __repr_args__(self) -> Any:
        return [("llm_factory", getattr(self, "llm_factory", None))]

    def key_fields(self) -> dict[str, Any]:
        """Return what the key is made of, in plain."""
        key = getattr(self, "api_key", None)
        plain = key.get_secret_value() if isinstance(key, SecretStr) else key
        return {**(self.model_extra or {}), "api_key": plain}


class SetApiKey(_Keyed):
    """`set_api_key`."""

    llm_factory: Name
    api_key: Key
    base_url: Url | None = None


class AddLlm(_Keyed):
    """`add_llm`."""

    llm_factory: Name
    llm_name: Name
    model_type: Name
    api_key: Key | None = None
    api_base: Url | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class LlmName(BaseModel):
    """One model of a factory, or with `llm_name` left out all of them."""

    llm_factory: Name
    llm_name: Name | None = None


class LlmStatus(BaseModel):
    """`enable_llm`."""

    llm_factory: Name
    llm_name: Name
    status: Annotated[int, Field(ge=0, le=1)] = 1


class SetQuota(BaseModel):
    """How many tokens a model may use; null for no limit."""

    llm_factory: Name
    llm_name: Name
    model_type: Name
    tokens: Annotated[int, Field(ge=0, le=_MOST)] | None


class SetLimit(BaseModel):
    """What a tenant may spend: `tokens`, `calls` or `money`, one of them."""

    # It is a part of the path where it is removed.
    name: Annotated[str, Field(min_length=1, max_length=60, pattern="^[^/]*$"), AfterValidator(_printable)]
    tokens: Annotated[int, Field(ge=0, le=10**18)] | None = None
    calls: Annotated[int, Field(ge=0, le=10**18)] | None = None
    money: Annotated[Decimal, Field(ge=0, le=10**6, max_digits=19, decimal_places=12)] | None = None
    per: Annotated[str, Field(max_length=16, description="`day`, `month`, `total`, or a window such as `24h`.")] = (
        "month"
    )
    user: Name | None = None
    model: Name | None = None
    operation: Name | None = None
    policy: Literal["block", "warn", "finish"] = "block"
    marks: Annotated[list[Annotated[float, Field(gt=0, le=10)]], Field(max_length=20)] = [0.8, 1.0]
    unknown_price: Literal["refuse", "allow"] = "refuse"


class MakeTenant(BaseModel):
    """A tenant."""

    tenant_id: Name
    title: Title = ""


class ChangeTenant(BaseModel):
    """What changes about a tenant; null leaves it as it is."""

    title: Title | None = None
    status: bool | None = None


class MakeToken(BaseModel):
    """A token."""

    title: Title = ""
    superuser: bool = False


class DefaultModel(BaseModel):
    """Where calls of a type go that name no model."""

    model_type: Name
    model: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]
