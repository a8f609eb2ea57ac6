"""
Whether a SQL text only reads: by its words, and in doubt it does not.

A text is cut into words, and not parsed: a parser that does not know a server's newest syntax, or knows one that the
server has not, would be wrong where it matters. What writes has a word that says so, outside of quotes, wherever it
stands; and a function counts as one that writes unless it is known here. So a mistake sends a read to the primary, and
never a write to a replica. What views, operators and row policies call is not seen.

Lives here: `reads_only`, `changes`, `is_known`, `varies`. Does not: words themselves (`outline`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from metaproxy.codecs.sql.outline import MOST_NORMALIZED, Outline
from metaproxy.message import Message

_KEPT = 1024
"""Verdicts that are remembered, of texts whose shape is not cut, as all of their words stand in it."""
_READING: Final = frozenset(("select", "values", "table"))
_WRITING: Final = frozenset(
    (
        "insert", "update", "delete", "merge", "into", "lock", "outfile", "dumpfile", "procedure",
        # What is left behind for the next statement, on the same connection.
        "temp", "temporary", "pg_temp", "sql_calc_found_rows",
    )
)  # fmt: skip
"""Words of a statement that begins as one that reads, and does more: also FOR UPDATE, and SELECT INTO."""
_HARMLESS: Final = frozenset(("set", "reset", "show", "use", "begin", "start", "savepoint"))
"""Statements that change no data. COMMIT is none of them: by it all before it becomes visible."""
_BEGINNINGS: Final = """
    insert update delete merge replace begin start commit rollback abort end savepoint release set reset show explain
    describe desc analyze analyse vacuum create alter drop truncate rename grant revoke comment copy call do execute
    prepare deallocate declare fetch move close listen notify unlisten lock unlock load reindex cluster refresh reassign
    security import discard checkpoint use handler flush kill optimize repair check checksum install uninstall get
    signal resignal xa change stop purge binlog cache help shutdown clone restart backup
"""
_KNOWN: Final = _READING.union(_BEGINNINGS.split())
"""Words that statements of the two servers begin with."""

_GRAMMAR: Final = frozenset(
    (
        "all", "and", "any", "array", "as", "between", "by", "case", "check", "cross", "cube", "distinct", "else",
        "end", "except", "exists", "fetch", "filter", "following", "from", "full", "group", "grouping", "groups",
        "having", "in", "inner", "intersect", "interval", "is", "join", "lateral", "left", "like", "ilike", "limit",
        "materialized", "natural", "not", "offset", "on", "only", "or", "order", "outer", "over", "partition",
        "preceding", "range", "regexp", "right", "rlike", "rollup", "row", "rows", "select", "sets", "similar", "some",
        "straight_join", "then", "to", "union", "using", "values", "when", "where", "window", "with", "within", "xor",
        "div", "mod", "binary", "force", "ignore", "use", "index", "key",
        # types that take a number
        "bit", "char", "character", "dec", "decimal", "double", "float", "numeric", "precision", "signed", "time",
        "timestamp", "unsigned", "varbit", "varbinary", "varchar", "varying", "datetime",
    )
)  # fmt: skip
"""Words that a ( may follow without a call."""

_FUNCTIONS: Final = """
    abs acos acosh adddate addtime aes_decrypt aes_encrypt age aggregate any_value array_agg array_append
    array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_to_json array_to_string array_upper ascii asin asinh atan
    atan2 atanh avg bin bin_to_uuid bit_and bit_count bit_length bit_or bit_xor bool_and bool_or btrim
    cardinality cast cbrt ceil ceiling char_length character_length charset chr coalesce col_description collate
    collation concat concat_ws conv convert convert_from convert_to convert_tz corr cos cosh cot count covar_pop
    covar_samp crc32 cume_dist curdate current_catalog current_database current_date current_role current_schema
    current_schemas current_setting current_time current_timestamp current_user curtime database date date_add
    date_bin date_format date_part date_sub date_trunc datediff day dayname dayofmonth dayofweek dayofyear
    decode degrees dense_rank encode every exp export_set extract extractvalue factorial field find_in_set
    first_value floor format format_bytes format_type from_base64 from_days from_unixtime gcd gen_random_uuid
    generate_series generate_subscripts get_format greatest group_concat has_column_privilege
    has_database_privilege has_schema_privilege has_sequence_privilege has_table_privilege hex hour if ifnull
    inet6_aton inet6_ntoa inet_aton inet_ntoa initcap instr isfinite isnull json_agg json_array
    json_array_elements json_array_elements_text json_array_length json_arrayagg json_build_array
    json_build_object json_contains json_contains_path json_depth json_each json_each_text json_exists
    json_extract json_extract_path json_extract_path_text json_keys json_length json_merge_patch
    json_merge_preserve json_object json_object_agg json_object_keys json_objectagg json_overlaps
    json_populate_record json_pretty json_query json_quote json_remove json_scalar json_search json_serialize
    json_set json_strip_nulls json_table json_to_record json_to_recordset json_type json_typeof json_unquote
    json_valid json_value jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
    jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_pretty jsonb_set jsonb_strip_nulls
    jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_day
    last_value lcase lcm lead least left length ln localtime localtimestamp locate log log10 log2 lower lpad
    ltrim make_date make_interval make_set make_time make_timestamp make_timestamptz makedate maketime max md5
    microsecond mid min min_scale minute mode month monthname name_const now nth_value ntile nullif num_nonnulls
    num_nulls obj_description oct octet_length ord overlay parse_ident percent_rank percentile_cont
    percentile_disc period_add period_diff pg_column_size pg_database_size pg_encoding_to_char
    pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_userbyid
    pg_get_viewdef pg_indexes_size pg_relation_size pg_size_pretty pg_table_is_visible pg_table_size
    pg_total_relation_size pg_type_is_visible pg_typeof phraseto_tsquery pi plainto_tsquery position pow power
    quarter quote quote_ident quote_literal quote_nullable radians rand random rank regexp_count regexp_instr
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
    regexp_substr regr_count repeat replace reverse right round row_number row_to_json rpad rtrim scale schema
    sec_to_time second session_user sha sha1 sha2 sha224 sha256 sha384 sha512 shobj_description sign sin sinh
    soundex space split_part sqrt starts_with statement_timestamp std stddev stddev_pop stddev_samp str_to_date
    strcmp string_agg string_to_array string_to_table strpos subdate substr substring substring_index subtime
    sum sysdate system_user tan tanh time_format time_to_sec timediff timeofday timestampadd timestampdiff
    to_base64 to_char to_date to_days to_hex to_json to_jsonb to_number to_seconds to_timestamp to_tsquery
    to_tsvector transaction_timestamp translate trim trim_array trim_scale trunc truncate ts_headline ts_rank
    ts_rank_cd ucase uncompress unhex unistr unix_timestamp unnest updatexml upper user utc_date utc_time
    utc_timestamp uuid uuid_to_bin uuidv4 uuidv7 var_pop var_samp variance version websearch_to_tsquery week
    weekday weekofyear weight_string width_bucket year yearweek
"""
_PURE: Final = frozenset(_FUNCTIONS.split())
"""Functions of the two servers that change nothing, and give on a replica what they give on the primary."""

_VARYING: Final = frozenset(("gen_random_uuid", "rand", "random", "sysdate", "uuid", "uuidv4", "uuidv7"))
"""Of these, those whose answers differ each time."""


def reads_only(outline: Outline) -> bool:
    """Whether all statements of a text do nothing but read, wherever they are carried out."""
    judge = _remembered if len(outline.normalized) < MOST_NORMALIZED else _reads
    return outline.whole and judge(outline.statements, outline.words, outline.called)


def _reads(statements: tuple[str, ...], words: frozenset[str], called: frozenset[str]) -> bool:
    if not statements or not _READING.issuperset(statements):
        return False
    if not _WRITING.isdisjoint(words) or {"for", "share"} <= words or {"next", "value"} <= words:
        return False
    if any(word.startswith("@") for word in words):  # a variable of the session
        return False
    return all(name in _PURE or name in _GRAMMAR for name in map(_plain, called))


_remembered = lru_cache(_KEPT)(_reads)


def changes(message: Message) -> bool:
    """Whether a request may have changed data: by its metadata `read_only` and `statement`."""
    if message.get("read_only") == "true":
        return False
    return not _HARMLESS.issuperset(message.values("statement") or (None,))


def is_known(outline: Outline) -> bool:
    """Whether all statements of a text begin as statements do."""
    return _KNOWN.issuperset(outline.statements)


def varies(outline: Outline) -> bool:
    """Whether the same text is answered otherwise each time, while nothing is written."""
    return not _VARYING.isdisjoint(map(_plain, outline.called))


def _plain(name: str) -> str:
    """Of what is called. A name with a schema is somebody's own, be it that of a function that is known."""
    return name.removeprefix("pg_catalog.")
