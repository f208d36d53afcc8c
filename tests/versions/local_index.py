"""A package index on this machine, of small wheels that are made for a test."""

import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Files = Mapping[str, bytes]


def wheel(name: str, version: str, text: str, requires: str = "") -> tuple[str, bytes]:
    """The file's name and content of a wheel with one module, of this text."""
    folder = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    inside = {
        f"{name}.py": text,
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    inside[f"{folder}/RECORD"] = "".join(f"{path},,\n" for path in [*inside, f"{folder}/RECORD"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, written in inside.items():
            archive.writestr(path, written)
    return f"{name}-{version}-py3-none-any.whl", content.getvalue()


@contextmanager
def serve(files: Files, delay: float = 0.0) -> Iterator[str]:
    """The URL of an index of these files, of which each answer takes `delay` seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay)
            last = self.path.split("?")[0].strip("/").split("/")[-1]
            mine = [file for file in files if file.startswith(f"{last}-")]
            body = files.get(last) or (_listing(mine, files) if mine else None)
            self.send_response(200 if body else 404)
            kind = "octet-stream" if last in files else "vnd.pypi.simple.v1+json"
            self.send_header("Content-Type", f"application/{kind}")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815 (uv asks for sizes)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()


def _listing(names: list[str], files: Files) -> bytes:
    listed = [
        {
            "filename": name,
            "url": f"/files/{name}",
            "hashes": {"sha256": hashlib.sha256(files[name]).hexdigest()},
            "upload-time": "2026-01-01T00:00:00Z",
        }
        for name in names
    ]
    project = names[0].partition("-")[0]
    told = {"meta": {"api-version": "1.0"}, "name": project, "files": listed}
    return json.dumps(told).encode()
