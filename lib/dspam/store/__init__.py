"""The token store: one SQL database that all workers and nodes share."""

from dspam.store.bulk import Material
from dspam.store.compactor import compact, compacting, forget_deltas, forget_trainings, purge_tokens, purging
from dspam.store.database import Database
from dspam.store.dictionary import UnknownUserError
from dspam.store.lessons import Lesson, Said, latest, said_since, verdicts
from dspam.store.records import Counts, Deltas, Keys, Totals, pack_keys, unpack_keys
from dspam.store.signatures import (
    Signature,
    delete_signature,
    find_signature,
    get_signature,
    purge_signatures,
    put_signature,
)
from dspam.store.tokens import Taught, TokenStore, name_of
from dspam.store.upkeep import Folding, Forgetting, Retention
from dspam.store.users import Learned, count, delete_user, find_user, learned, user_id, user_names

__all__ = [
    "Counts",
    "Database",
    "Deltas",
    "Folding",
    "Forgetting",
    "Keys",
    "Learned",
    "Lesson",
    "Material",
    "Retention",
    "Said",
    "Signature",
    "Taught",
    "TokenStore",
    "Totals",
    "UnknownUserError",
    "compact",
    "compacting",
    "count",
    "delete_signature",
    "delete_user",
    "find_signature",
    "find_user",
    "forget_deltas",
    "forget_trainings",
    "get_signature",
    "latest",
    "learned",
    "name_of",
    "pack_keys",
    "purge_signatures",
    "purge_tokens",
    "purging",
    "put_signature",
    "said_since",
    "unpack_keys",
    "user_id",
    "user_names",
    "verdicts",
]
