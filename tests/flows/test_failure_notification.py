"""`deployments/automations.yaml` by the steps that it states: a failed inspection is told to a webhook, by Prefect."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from segmentation.errors import InputRejected
from tests.flows.prefect_servers import OwnServer, api, own_server

AUTOMATIONS = Path(__file__).parents[2] / "deployments" / "automations.yaml"
NO_BLOCK = "00000000-0000-0000-0000-000000000000"


class Hook:
    """A web server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[dict[str, str]] = []
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.mark.slow
def test_a_failed_inspection_is_told_to_a_webhook(
    prefect: str, hook: Hook, home: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    server = own_server(tmp_path, pytestconfig)
    with server.running(), api(server.url):
        create_automation(server, hook, tmp_path)
        from flows.inspect_survey import inspect_survey

        deadline = time.monotonic() + 240
        while not hook.posted:  # a new automation is known to the triggers after some seconds
            with pytest.raises(InputRejected):
                inspect_survey(str(tmp_path / "no survey"), settings={"home": str(home), "results": str(tmp_path)})
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(5)
    text = hook.posted[0]["text"]
    assert text.startswith("spanscan: no survey is Failed: ")
    assert "E_NO" in text


def create_automation(server: OwnServer, hook: Hook, folder: Path) -> None:
    """The two steps that stand in the file."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    block = CustomWebhookNotificationBlock(name="spanscan", url=hook.url, json_data={"text": "{{subject}}: {{body}}"})
    block_id = str(block.save("spanscan-failures", overwrite=True))
    path = folder / "automations.yaml"
    path.write_text(AUTOMATIONS.read_text().replace(NO_BLOCK, block_id))
    command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(path)]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
