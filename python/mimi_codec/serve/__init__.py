"""A server of sessions over WebSockets, with a page to try it: `mimi serve`. Needs the extra [serve].

* `server`: HTTP and WebSockets on one port; `session`: one client; `wire`, `frames`: the messages
  that `docs/serve.md` describes
* `settings`, `access`: the limits, and who is let in; `answers`, `metrics`: what plain HTTP requests get
* `page/`: the page, in plain HTML and JavaScript
"""

from .frames import frame_bytes, pack_codes, unpack_codes
from .server import Server
from .settings import Settings
from .wire import PROTOCOL

__all__ = ["PROTOCOL", "Server", "Settings", "frame_bytes", "pack_codes", "unpack_codes"]
