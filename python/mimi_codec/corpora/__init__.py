"""Corpora: any number of clips to shards of codes or latents, each clip exactly once.

* `run`: `tokenize`, from the inputs to a summary; `plan`: `plan.json`, which holds a run to what it began with
* `items`, `sources`, `archives`, `manifests`: clips and their ids, and where their sound is
* `shards`, `claims`, `commit`: which clip is in which shard, who makes it, and files that appear whole or not at all
* `schedule`, `opened`, `spool`: the shards of a rank, one that is being made, and its frames until it is done
* `engine`, `channel`, `coding`, `failures`: threads and what goes between them, sound to frames, why there are none
* `formats`: Parquet, WebDataset, and files; `rows`: what they hold
* `progress`, `summary`: how far a run is, and what came of it
"""

from .progress import Progress
from .rows import Row
from .run import read_rows, tokenize
from .summary import Status, Summary, status

__all__ = ["Progress", "Row", "Status", "Summary", "read_rows", "status", "tokenize"]
