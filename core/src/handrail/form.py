"""Forms with files: ``multipart/form-data``, the same bytes for the same parts.

https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from handrail.model import File
from handrail.text import one_line


def form_data(parts: Sequence[tuple[str, str | File]]) -> tuple[str, bytes]:
    """Content type and body of a form: names with a text or a file each."""
    written = [_part(name, value) for name, value in parts]
    boundary = f"handrail-{hashlib.sha256(b''.join(written)).hexdigest()[:32]}"
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in written)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def _part(name: str, value: str | File) -> bytes:
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, str):
        return f"{head}\r\n\r\n{value}".encode("utf-8", "replace")
    media = one_line(value.media_type).encode("ascii", "ignore").decode() or "application/octet-stream"
    head += f'; filename="{_quoted(value.name)}"\r\nContent-Type: {media}'
    return f"{head}\r\n\r\n".encode("utf-8", "replace") + value.content


def _quoted(text: str) -> str:
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
