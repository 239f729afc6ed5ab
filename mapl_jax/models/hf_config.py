"""The decoder's config from a `config.json` of Hugging Face, and back."""

import dataclasses
from collections.abc import Mapping

from mapl_jax.models import rope
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.families import (
    ALTERNATING,
    BOOLEANS,
    EVERYWHERE,
    FAMILIES,
    FIVE_OF_SIX,
    FULL,
    INTEGERS,
    LATER,
    LISTED,
    MOST,
    NEVER,
    NOWHERE,
    NULLABLE,
    OLD_FULL,
    SLIDING,
    THREE_OF_FOUR,
    TOKENS,
    WRAPPED,
    Family,
    get,
)
from mapl_jax.models.tensors import Json
from mapl_jax.runtime.errors import UserError


def from_hf(raw: Json, where: str) -> DecoderConfig:
    """A config from the content of a `config.json`; messages say `where` it lies."""
    raw = _text_part(raw)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UserError(
            f"{where}: model_type {model_type!r} is not supported; choose {', '.join(FAMILIES)}"
        )
    family = FAMILIES[model_type]
    for key, allowed in family.fixed.items():
        if raw.get(key) is not None and raw[key] not in allowed:
            raise UserError(f"{where}: {key} = {raw[key]!r} is not supported for {model_type}")
    for key, allowed in family.needed.items():
        if raw.get(key) not in allowed:
            raise UserError(
                f"{where}: {key} must be {allowed[0]!r} for {model_type}, not {raw.get(key)!r}"
            )
    fields: Json = {field: _value(raw, family, key, where) for key, field in family.fields.items()}
    for key, field in family.fields.items():
        if fields[field] is not None and field in MOST and fields[field] > MOST[field]:
            raise UserError(f"{where}: {key} is {fields[field]}; no model has so many")
    for key, field in TOKENS.items():
        # -1 is an older way to say that there is none.
        ids = token_ids(None if raw.get(key) in (-1, [-1]) else raw.get(key), key, where)
        fields[field] = ids if field == "eos_tokens" else next(iter(ids), None)
    if fields["heads"] % fields["kv_heads"]:
        raise UserError(f"{where}: num_attention_heads is no multiple of num_key_value_heads")
    head_dim = raw.get("head_dim", family.defaults.get("head_dim"))
    if head_dim is None:
        if fields["width"] % fields["heads"]:
            raise UserError(f"{where}: hidden_size is no multiple of num_attention_heads")
        head_dim = fields["width"] // fields["heads"]
    if _positive_integer(head_dim, "head_dim", where) % 2:
        raise UserError(f"{where}: head_dim is {head_dim}, and must be even: angles come in pairs")
    fields |= {**family.constants, "family": model_type, "head_dim": head_dim}
    if family.output_bias:
        fields["output_bias"] = fields["qkv_bias"]
    fields |= _windows(raw, family, fields["layers"], where)
    fields["unrotated"] = _unrotated(raw, family, fields, where)
    return DecoderConfig(**fields, **_rope(raw, family, fields, where))


def _text_part(raw: Json) -> Json:
    """What a config says of the language model in a model of images and text."""
    text, known = raw.get("text_config"), WRAPPED.get(str(raw.get("model_type")))
    if known is None or not isinstance(text, dict):
        return raw
    wrapped = text.get("model_type") or known[0]
    if wrapped not in known:
        return raw
    of_all = {k: raw[k] for k in (*NEVER, *TOKENS, "tie_word_embeddings") if raw.get(k) is not None}
    return {**text, **of_all, "model_type": wrapped}


def to_hf(config: DecoderConfig, dtype: str = "float32") -> Json:
    """The content of a `config.json`, without what depends on head and tokenizer.

    Older readers know only `rope_theta`, `rope_scaling` and `torch_dtype`, newer ones write
    `rope_parameters` and `dtype`; both are given.
    """
    family = get(config.family)
    content = {
        "model_type": config.family,
        **{key: getattr(config, field) for key, field in family.fields.items()},
        **{key: ok[0] for key, ok in family.fixed.items() if ok and key not in NEVER},
        **{key: ok[0] for key, ok in family.needed.items()},
        **_windows_to_hf(config, family),
        **_unrotated_to_hf(config, family),
        **_rope_to_hf(config),
        "head_dim": config.head_dim,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "torch_dtype": dtype,
        "dtype": dtype,
        "use_cache": True,
    }
    back = from_hf(content, f"a {config.family} model")
    for field in dataclasses.fields(DecoderConfig):
        value = getattr(config, field.name)
        if field.name not in TOKENS.values() and getattr(back, field.name) != value:
            raise UserError(f"a {config.family} model cannot have {field.name} = {value!r}")
    return content


def _value(raw: Json, family: Family, key: str, where: str) -> object:
    field, default = family.fields[key], family.defaults.get(key)
    if isinstance(default, str):
        default = raw.get(default)
    if raw.get(key) is None and key not in family.defaults:
        raise UserError(f"{where}: the key {key} is missing")
    value = raw.get(key, default)
    if value is None and field not in NULLABLE:
        value = default
    if field in INTEGERS:
        return _positive_integer(value, key, where)
    if field in BOOLEANS:
        if not isinstance(value, bool):
            raise UserError(f"{where}: {key} must be true or false, not {value!r}")
    elif value is not None and not rope.is_positive(value):
        raise UserError(f"{where}: {key} must be a number above 0, not {value!r}")
    return value


def _windows(raw: Json, family: Family, layers: int, where: str) -> Json:
    """The fields `window` and `sliding`."""
    kinds = raw.get("layer_types")
    if kinds is not None and (not isinstance(kinds, list) or len(kinds) != layers):
        raise UserError(f"{where}: layer_types must name {layers} layers, not {kinds!r}")
    if kinds is None and family.windows == NOWHERE and family.listed:
        raise UserError(f"{where}: the key layer_types is missing")
    known = (FULL,) if family.windows == NOWHERE else (FULL, SLIDING)
    for kind in kinds or ():
        if kind == OLD_FULL and family.listed:
            continue
        if kind not in known:
            raise UserError(
                f"{where}: layer_types with {kind!r} is not supported for {raw['model_type']}"
            )
    window = raw.get("sliding_window", family.defaults.get("sliding_window"))
    if family.windows == NOWHERE or (family.windows == LATER and not raw.get("use_sliding_window")):
        window = None
    if family.windows == LISTED and not raw.get("use_sliding_window"):
        return {}  # whatever the list says
    if window is None:
        patterned = family.windows in (ALTERNATING, FIVE_OF_SIX) or family.still == "windowless"
        if SLIDING in (kinds or ()) or (patterned and kinds is None):
            raise UserError(f"{where}: {SLIDING!r} needs a sliding_window that is in use")
        return {}
    if kinds is not None:
        sliding = [kind == SLIDING for kind in kinds]
    elif family.windows == EVERYWHERE:
        sliding = [True] * layers
    else:
        sliding = _pattern(raw, family, layers, where)
    return {"window": _positive_integer(window, "sliding_window", where), "sliding": tuple(sliding)}


def _pattern(raw: Json, family: Family, layers: int, where: str) -> list[bool]:
    """Which layers have a window in a file that does not list them."""
    if family.windows == LATER:
        full = raw.get("max_window_layers", 28)
        if not isinstance(full, int):
            raise UserError(f"{where}: max_window_layers must be an integer, not {full!r}")
        return [i >= full for i in range(layers)]
    if family.windows == LISTED:
        raise UserError(f"{where}: use_sliding_window needs layer_types")
    every = {ALTERNATING: 2, FIVE_OF_SIX: 6, THREE_OF_FOUR: 4}[family.windows]
    if family.windows != ALTERNATING:
        key = "sliding_window_pattern"
        every = _positive_integer(every if raw.get(key) is None else raw[key], key, where)
    return [(i + 1) % every > 0 for i in range(layers)]


def _windows_to_hf(config: DecoderConfig, family: Family) -> Json:
    if family.windows == NOWHERE:
        return {"layer_types": [FULL] * config.layers} if family.listed else {}
    if family.windows == EVERYWHERE and not family.listed:
        return {"sliding_window": config.window}
    if config.window is None:
        full = {"layer_types": [FULL] * config.layers, "sliding_window": None}
        return {"use_sliding_window": False} if family.windows == LATER else full
    content: Json = {
        "sliding_window": config.window,
        "layer_types": [SLIDING if slides else FULL for slides in config.sliding],
    }
    if family.windows == LISTED:
        content["use_sliding_window"] = True
    if family.windows == LATER:
        # Older readers know no list; they take all layers from the first window on.
        first = [*config.sliding, True].index(True)
        content |= {"use_sliding_window": True, "max_window_layers": first}
    return content


def _unrotated(raw: Json, family: Family, fields: Json, where: str) -> tuple[bool, ...]:
    """Which layers do not turn; none of them if all do."""
    layers = fields["layers"]
    if family.still == "windowless" or (family.still == "full" and fields.get("window")):
        still = [not slides for slides in fields.get("sliding", (False,) * layers)]
    elif family.still == "no_rope_layers":
        turning = raw.get("no_rope_layers")
        if turning is None:
            every = raw.get("no_rope_layer_interval", 4)
            every = _positive_integer(every, "no_rope_layer_interval", where)
            turning = [int((i + 1) % every != 0) for i in range(layers)]
        if not isinstance(turning, list) or len(turning) != layers or set(turning) - {0, 1}:
            raise UserError(f"{where}: no_rope_layers must be {layers} times 0 or 1")
        still = [not turns for turns in turning]
    else:
        return ()
    return tuple(still) if any(still) else ()


def _unrotated_to_hf(config: DecoderConfig, family: Family) -> Json:
    if family.still != "no_rope_layers":
        return {}
    still = config.unrotated or (False,) * config.layers
    return {"no_rope_layers": [int(not x) for x in still]}


def _rotary_dim(raw: Json, entry: object, family: Family, head_dim: int, where: str) -> int | None:
    """How much of a head turns; None for all of it."""
    share = family.defaults.get("partial_rotary_factor", 1.0)
    for place in (raw, entry):
        if isinstance(place, Mapping) and place.get("partial_rotary_factor") is not None:
            share = place["partial_rotary_factor"]
    if not rope.is_positive(share) or share > 1:
        raise UserError(f"{where}: partial_rotary_factor must be above 0 and at most 1")
    return None if share == 1 else int(head_dim * share)


def _rope(raw: Json, family: Family, fields: Json, where: str) -> Json:
    """The fields `rope_theta`, `rope_scaling`, `rotary_dim` and `local_rope_theta`."""
    key = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    entry = raw.get(key) or family.defaults.get("rope_parameters", {})
    place = f"{where}: {key}"
    theta = raw.get("rope_theta", family.rope_theta)
    longest = fields["max_positions"]
    name = "original_max_position_embeddings"
    lengths = {
        "positions": _positive_integer(raw.get(name) or longest, name, where),
        "longest": longest,
    }
    if family.local_rope_theta is None:
        turning = _rotary_dim(raw, entry, family, fields["head_dim"], where)
        theta, scaling = rope.from_hf(
            entry, place, theta=theta, **lengths, grows=family.queries_grow
        )
        return {"rope_theta": theta, "rope_scaling": scaling, "rotary_dim": turning}
    if _rotary_dim(raw, entry, family, fields["head_dim"], where) is not None:
        raise UserError(f"{where}: partial_rotary_factor is not supported for {raw['model_type']}")
    local = raw.get("rope_local_base_freq", family.local_rope_theta)
    if local == "rope_theta":
        local = theta
    # The older key is for layers without a window only, the newer one has an entry for each kind.
    entries = entry if key == "rope_parameters" else {FULL: entry}
    if not isinstance(entries, Mapping) or set(entries) - {FULL, SLIDING}:
        raise UserError(f"{place} must be an object with {FULL} and {SLIDING}, not {entries!r}")
    theta, scaling = rope.from_hf(
        entries.get(FULL) or {}, f"{place}.{FULL}", theta=theta, **lengths
    )
    local, local_scaling = rope.from_hf(
        entries.get(SLIDING) or {}, f"{place}.{SLIDING}", theta=local, **lengths
    )
    if local_scaling is not None:
        raise UserError(f"{place}.{SLIDING} is scaled, which is not supported")
    return {"rope_theta": theta, "rope_scaling": scaling, "local_rope_theta": local}


def _rope_to_hf(config: DecoderConfig) -> Json:
    entry = rope.to_hf(config.rope_theta, config.rope_scaling)
    content: Json = {"rope_theta": config.rope_theta, "rope_parameters": entry}
    if config.rotary_dim is not None:
        share = config.rotary_dim / config.head_dim
        content["partial_rotary_factor"] = entry["partial_rotary_factor"] = share
    if config.rope_scaling is not None and config.rope_scaling.kind == "longrope":
        content["original_max_position_embeddings"] = config.rope_scaling.positions
    if config.rope_scaling is not None:
        content["rope_scaling"] = {k: v for k, v in entry.items() if k != "rope_theta"}
    if config.local_rope_theta is not None:
        local = rope.to_hf(config.local_rope_theta, None)
        content["rope_parameters"] = {FULL: entry, SLIDING: local}
        content["rope_local_base_freq"] = config.local_rope_theta
    return content


def _positive_integer(value: object, key: str, where: str) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        raise UserError(f"{where}: {key} must be a positive integer, not {value!r}")
    return value


def token_ids(value: object, key: str, where: str) -> tuple[int, ...]:
    """Token ids: one, a list, or none."""
    ids: dict[int, None] = {}
    for token in value if isinstance(value, list) else [value]:
        if token is None:
            continue
        if type(token) is not int or not 0 <= token < 2**31:
            raise UserError(f"{where}: {key} must be an id or a list of ids, not {value!r}")
        ids[token] = None
    return tuple(ids)
