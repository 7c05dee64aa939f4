"""Keys: what each factory wants as a key. One table builds the JSON from a request and takes it apart again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORMS", "NO_KEY", "build", "parse"]

NO_KEY = "x"
"""What stands for a key where a server wants none."""

FORMS: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("VolcEngine", None): ("ark_api_key", "endpoint_id"),
    ("Tencent Hunyuan", None): ("hunyuan_sid", "hunyuan_sk"),
    ("Tencent Cloud", None): ("tencent_cloud_sid", "tencent_cloud_sk"),
    ("Bedrock", None): ("auth_mode", "bedrock_ak", "bedrock_sk", "bedrock_region", "aws_role_arn"),
    ("XunFei Spark", "chat"): ("spark_api_password",),
    ("XunFei Spark", "tts"): ("spark_app_id", "spark_api_secret", "spark_api_key"),
    ("BaiduYiyan", None): ("yiyan_ak", "yiyan_sk"),
    ("Fish Audio", None): ("fish_audio_ak", "fish_audio_refid"),
    ("Google Cloud", None): ("google_project_id", "google_region", "google_service_account_key"),
    ("Azure-OpenAI", None): ("api_key", "api_version"),
    ("OpenRouter", None): ("api_key", "provider_order"),
    ("MinerU", None): ("api_key", "provider_order"),
    ("PaddleOCR", None): ("api_key", "provider_order"),
}
"""Factory, and type where it matters: the fields of its key. A single field is the key itself, without JSON."""

_SAME = {"Hunyuan": "Tencent Hunyuan", "XunFei": "XunFei Spark", "Azure": "Azure-OpenAI", "AzureOpenAI": "Azure-OpenAI"}


def build(factory: str, kind: str, request: Mapping[str, Any]) -> str:
    """Return the key to store, from the fields of a request.

    A request may bring the whole key as `api_key` where that is no field of the form, as JSON or as it is.

    Raises:
        ValueError: Fields of the key are missing, and which.
    """
    form = _form(factory, kind)
    if form is None:
        return _text(request.get("api_key")) or NO_KEY
    given = {name: _text(request.get(name)) for name in form}
    whole = request.get("api_key")
    if isinstance(whole, dict):
        given = {**given, **{name: _text(value) for name, value in whole.items() if name in form}}
    elif isinstance(whole, str) and set(parsed := _object(whole)) & set(form):
        given = {name: _text(parsed.get(name)) for name in form}
    elif isinstance(whole, str) and whole and not any(given.values()):
        return whole
    if len(form) == 1:
        if not given[form[0]]:
            msg = f"the key of {factory} is in: {form[0]}"
            raise ValueError(msg)
        return given[form[0]]
    if not any(given.values()):
        msg = f"the key of {factory} is made of: {', '.join(form)}"
        raise ValueError(msg)
    return json.dumps(given, ensure_ascii=False)


def parse(factory: str, kind: str, key: str) -> dict[str, str]:
    """Return the fields of a stored key; one that is no JSON is the field `api_key`, or the only one of its form."""
    content = _object(key)
    if content:
        return {name: _text(value) for name, value in content.items()}
    form = _form(factory, kind)
    return {form[0] if form is not None and len(form) == 1 else "api_key": key}


def _form(factory: str, kind: str) -> tuple[str, ...] | None:
    name = _SAME.get(factory, factory)
    return FORMS.get((name, kind)) or FORMS.get((name, None))


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
