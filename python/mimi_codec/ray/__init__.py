"""Ray Data: clips to codes and back in actors, and a corpus to Parquet on a cluster. Needs the extra [ray].

* `encode`, `decode`: callable classes for `Dataset.map_batches`; `resources`: what Ray gave their actors
* `run`: `tokenize`, a corpus from its paths to Parquet, each clip once; `items`: the clips as a source of Ray's
* `room`: whether a cluster has room for all that must run at once
"""

from .decode import MimiDecode
from .encode import MimiEncode
from .run import Tokenized, tokenize

__all__ = ["MimiDecode", "MimiEncode", "Tokenized", "tokenize"]
