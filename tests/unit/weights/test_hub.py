"""Models by their name on the Hub: a real server on this machine answers as the Hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from synthlift.errors import InputError
from synthlift.weights.hub import fetch

COMMIT = "a" * 40
PART = ["diffusers", "UNet2DConditionModel"]
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": PART,
    "text_encoder": PART,
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
}
PIPELINE = {
    "model_index.json": json.dumps(INDEX).encode(),
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "unet/config.json": b"{}",
}
WHOLE = {
    **PIPELINE,
    "text_encoder/model.fp16.safetensors": b"rounded, and the only one",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors": b"first",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors": b"second",
}
COPIES = {
    "text_encoder/model.bf16.safetensors": b"rounded otherwise",
    "text_encoder/pytorch_model.bin": b"pickled",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"rounded",
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"not averaged",
    "unet/openvino_model.bin": b"for another program",
    "unet_onnx/model.safetensors": b"for another program",
    "v1.safetensors": b"all in one",
}
TEMPLATE = "tokenizer/chat_template.jinja"
TEMPLATED = {
    **WHOLE,
    "model_index.json": json.dumps({**INDEX, "_class_name": "ZImagePipeline"}).encode(),
    TEMPLATE: b"{{ messages }}",
}
MIXED = {
    **PIPELINE,
    "text_encoder/model.safetensors": b"weights",
    "text_encoder/pytorch_model.bin": b"pickled",
    "unet/diffusion_pytorch_model.bin": b"pickled",
}
FILES = {
    "them/given": {
        "config.json": b'{"model_type": "clip"}',
        "model.safetensors": b"weights",
        "pytorch_model.bin": b"pickled",
    },
    "them/piped": {**WHOLE, **COPIES},
    "them/styles": {
        "README.md": b"---\nlicense: mit\n---",
        "more/ink 8steps.safetensors": b"ink",
        "paint.safetensors": b"paint",
        "paint.bin": b"pickled",
        "oil.safetensors": b"oil",
    },
    "them/trained": {
        "checkpoint-500/pytorch_lora_weights.safetensors": b"half",
        "pytorch_lora_weights.safetensors": b"done",
    },
    "them/mixed": MIXED,
    "them/templated": TEMPLATED,
}


class _Hub(BaseHTTPRequestHandler):
    """Knows those of ``FILES``; ``them/gated`` wants an agreement; ``them/disabled`` is."""

    def do_GET(self) -> None:
        path = unquote(self.path.split("?")[0]).removeprefix("/api/models").removeprefix("/")
        words = path.split("/")
        name, rest = "/".join(words[:2]), "/".join(words[2:])
        files = FILES.get(name, {})
        if name == "them/gated":
            self._answer(403, b"{}", "GatedRepo")
        elif name == "them/disabled":
            self._answer(403, b"{}", message="Access to this resource is disabled.")
        elif not files:
            self._answer(404, b"{}", "RepoNotFound")
        elif rest.startswith("revision/") and rest != "revision/main":
            self._answer(404, b"{}", "RevisionNotFound")
        elif rest.startswith("tree/"):
            listed = [
                {"type": "file", "path": file, "size": len(body), "oid": f"{len(body):040x}"}
                for file, body in files.items()
            ]
            self._answer(200, json.dumps(listed).encode())
        elif self.path.startswith("/api/models/"):
            told = {
                "id": name,
                "modelId": name,
                "sha": COMMIT,
                "siblings": [{"rfilename": file} for file in files],
            }
            self._answer(200, json.dumps(told).encode())
        elif (file := "/".join(rest.split("/")[2:])) in files:
            self._answer(200, files[file])
        else:
            self._answer(404, b"{}", "EntryNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, code: str = "", message: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{abs(hash(body)):040x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        if message:
            self.send_header("X-Error-Message", message)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def asked(hub: str, home: Path, *names: str, **variables: str) -> list[str]:
    """What each name gives, in a process of its own: the package reads its settings once.

    After a name, ``!`` asks for pickled weights, too.
    """
    code = (
        "import sys\n"
        "from synthlift.errors import InputError\n"
        "from synthlift.weights.hub import fetch\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found = fetch(name.rstrip('!'), pickles=name.endswith('!'))\n"
        "        files = [p for p in found.folder.rglob('*') if p.is_file()]\n"
        "        assert found.place == found.folder or found.place in files\n"
        "        names = sorted(p.relative_to(found.folder).as_posix() for p in files)\n"
        "        print(names, found.revision)\n"
        "    except InputError as error:\n"
        "        print(error.given, '|', error.remedy)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home)}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_hub_gives_safetensors_and_says_why_it_does_not(hub: str, tmp_path: Path) -> None:
    others = [f"hf:them/{name}" for name in ("gated", "gone", "disabled", "given@v9")]
    given, gated, gone, disabled, revision = asked(hub, tmp_path, "hf:them/given", *others)
    assert given == f"['config.json', 'model.safetensors'] {COMMIT}"
    assert "'hf:them/gated' is gated" in gated
    assert "agree on its page" in gated
    assert "gives no model 'hf:them/gone'" in gone
    assert "renamed or removed" in gone
    assert "'hf:them/disabled' is disabled" in disabled
    assert "search the Hub for a copy" in disabled
    assert "'hf:them/given@v9' has no such revision" in revision
    # What was fetched once needs no network again.
    nowhere = "http://127.0.0.1:9"
    again, other = asked(nowhere, tmp_path, "hf:them/given", "hf:them/more", HF_HUB_OFFLINE="1")
    assert again == given
    assert "'hf:them/more' cannot be fetched" in other
    assert "give its folder" in other


def test_of_a_pipeline_one_copy_of_its_weights_is_fetched(hub: str, tmp_path: Path) -> None:
    (found,) = asked(hub, tmp_path, "hf:them/piped")
    assert found == f"{sorted(WHOLE)} {COMMIT}"
    (again,) = asked("http://127.0.0.1:9", tmp_path, "hf:them/piped", HF_HUB_OFFLINE="1")
    assert again == found
    # One of two files of weights did not come: it is asked for again.
    snapshot = tmp_path / "hub" / "models--them--piped" / "snapshots" / COMMIT
    (snapshot / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    (torn,) = asked("http://127.0.0.1:9", tmp_path, "hf:them/piped", HF_HUB_OFFLINE="1")
    assert "'hf:them/piped' cannot be fetched" in torn
    assert asked(hub, tmp_path, "hf:them/piped") == [found]


def test_a_pipeline_that_was_fetched_with_all_copies_stays_as_it_is(
    hub: str, tmp_path: Path
) -> None:
    code = "from huggingface_hub import snapshot_download as get; get('them/piped')"
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert asked(hub, tmp_path, "hf:them/piped") == [f"{sorted({**WHOLE, **COPIES})} {COMMIT}"]


def test_templates_of_prompts_are_fetched_and_again_where_they_were_left_out(
    hub: str, tmp_path: Path
) -> None:
    (found,) = asked(hub, tmp_path, "hf:them/templated")
    assert found == f"{sorted(TEMPLATED)} {COMMIT}"
    (tmp_path / "hub" / "models--them--templated" / "snapshots" / COMMIT / TEMPLATE).unlink()
    # Without a network what is there is given, as it was before.
    nowhere = "http://127.0.0.1:9"
    (left,) = asked(nowhere, tmp_path, "hf:them/templated", HF_HUB_OFFLINE="1")
    assert left == f"{sorted({*TEMPLATED} - {TEMPLATE})} {COMMIT}"
    assert asked(hub, tmp_path, "hf:them/templated") == [found]


def test_of_several_files_one_is_fetched_by_its_name(hub: str, tmp_path: Path) -> None:
    ink, none = "hf:them/styles/more/ink 8steps.safetensors", "hf:them/styles/wax.safetensors"
    every, found, absent = asked(hub, tmp_path, "hf:them/styles", ink, none)
    assert every == (
        "the model 'hf:them/styles' is 3 files of weights: oil.safetensors, paint.safetensors, "
        "more/ink 8steps.safetensors | name it, such as hf:them/styles/oil.safetensors"
    )
    assert found == f"['README.md', 'more/ink 8steps.safetensors'] {COMMIT}"
    assert absent.startswith(f"the model '{none}' has no such file")
    again = asked("http://127.0.0.1:9", tmp_path, ink, HF_HUB_OFFLINE="1")
    assert again == [found]
    revised = "hf:them/styles/paint.safetensors@main"
    both, every = asked(hub, tmp_path, revised, "hf:them/styles")
    assert "'paint.safetensors'" in both
    assert "is 3 files of weights" in every, "what was fetched is not taken for the whole"


def test_stages_of_a_training_do_not_make_a_collection(hub: str, tmp_path: Path) -> None:
    (found,) = asked(hub, tmp_path, "hf:them/trained")
    assert "'pytorch_lora_weights.safetensors'" in found
    assert asked("http://127.0.0.1:9", tmp_path, "hf:them/trained", HF_HUB_OFFLINE="1") == [found]


def test_a_pickled_part_is_fetched_only_when_asked_for(hub: str, tmp_path: Path) -> None:
    refused, given, both = asked(hub, tmp_path, "hf:them/mixed", "hf:them/mixed!", "hf:them/given!")
    assert refused.startswith(
        "the model 'hf:them/mixed' has no weights in safetensors for its unet"
    )
    assert refused.endswith("synthlift models add hf:them/mixed --allow-pickle")
    assert given == f"{sorted({*MIXED} - {'text_encoder/pytorch_model.bin'})} {COMMIT}"
    assert both == f"['config.json', 'model.safetensors'] {COMMIT}"


@pytest.mark.parametrize("said", ["hf:given", "hf:a/b/c", "hf:", "hf:a b/c"])
def test_a_name_of_another_form_is_refused(said: str) -> None:
    with pytest.raises(InputError, match="as a model of the Hub"):
        fetch(said)
