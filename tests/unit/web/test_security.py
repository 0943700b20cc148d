"""What the server refuses, and what it tells browsers."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import synthlift
from synthlift.errors import InputError
from synthlift.web import Settings
from synthlift.web.errors import BusyError
from synthlift.web.inference.client import Inference
from synthlift.web.security import secret_key
from tests.unit.web.conftest import OURS, Serve

PAGES = ("/", "/generate", "/classify", "/chain", "/study", "/compare")
MORE = ("/api/v1/openapi.json", "/api/v1/models")
ELSEWHERE = {"host": "0.0.0.0", "token": "a-long-token"}


@pytest.mark.parametrize("page", PAGES)
def test_pages_forbid_whatever_is_not_a_file_of_this_server(client: FlaskClient, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 200
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    html = answer.get_data(as_text=True)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html), "inline code"
    assert all(
        re.match(r'<script src="/static/', tag) for tag in re.findall(r"<script[^>]*>", html)
    )
    assert "http://" not in html
    assert "https://" not in html


def test_changes_are_refused_unless_they_come_from_a_page_of_this_server(
    client: FlaskClient,
) -> None:
    def start(**headers: str) -> int:
        return client.post("/api/v1/examples/digits", headers=headers).status_code

    header = next(iter(OURS))
    assert start() == 403
    assert start(**OURS, Origin="http://evil.example") == 403
    assert start(**OURS, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert client.get("/api/v1/jobs").get_json()["jobs"] == []
    assert (
        start(**{header: "x", "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}) == 202
    )
    assert "Access-Control-Allow-Origin" not in client.options("/api/v1/examples/digits").headers


def test_other_names_for_this_machine_are_refused(client: FlaskClient) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "127.0.0.1:8000"}).status_code == 200


# ── the token ─────────────────────────────────────────────────────────────────────────────────


def test_other_machines_need_a_token() -> None:
    with pytest.raises(InputError, match="token"):
        Settings(home=Path("unused"), host="0.0.0.0")
    assert not Settings(home=Path("unused"), host="0.0.0.0", token="x").loopback
    assert Settings(home=Path("unused"), host="::1").loopback


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::", "http://[::1]:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("127.0.0.2", "http://127.0.0.2:8000/"),
        ("localhost", "http://localhost:8000/"),
    ],
)
def test_the_address_that_is_told_is_one_that_opens(host: str, address: str, serve: Serve) -> None:
    settings = Settings(home=Path("unused"), host=host, token="x")
    assert settings.address == address
    client = serve(host=host, **({} if settings.loopback else {"token": "x"}))
    assert client.get("/healthz", base_url=address).status_code == 200
    elsewhere = client.get("/healthz", base_url="http://evil.example/").status_code
    assert elsewhere == (400 if settings.loopback else 200)


def test_without_the_token_there_is_only_the_door(serve: Serve) -> None:
    client = serve(**ELSEWHERE)
    for page in PAGES:
        assert client.get(page).headers["Location"] == "/login"
    assert client.get("/api/v1/runs").status_code == 401
    assert client.get("/api/v1/runs", headers={"Authorization": "Bearer no"}).status_code == 401
    assert client.get("/healthz").status_code == 200


def test_programs_give_the_token_themselves(serve: Serve) -> None:
    client = serve(**ELSEWHERE)
    bearer = {"Authorization": f"Bearer {ELSEWHERE['token']}"}
    assert client.get("/api/v1/runs", headers=bearer).status_code == 200
    assert client.post("/api/v1/examples/digits", headers=bearer).status_code == 202


def form_of(client: FlaskClient) -> dict[str, str]:
    page = client.get("/login").get_data(as_text=True)
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    return {"csrf_token": found[1]}


def test_people_sign_in_with_a_form_that_is_ours(serve: Serve) -> None:
    client = serve(**ELSEWHERE)
    assert client.post("/login", data={"token": ELSEWHERE["token"]}).status_code == 400
    form = form_of(client)
    assert client.post("/login", data={**form, "token": "wrong"}).status_code == 403
    assert client.get("/").status_code == 302
    entered = client.post("/login", data={**form, "token": ELSEWHERE["token"]})
    assert entered.headers["Location"] == "/"
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ELSEWHERE["token"] not in cookie
    assert client.get("/").status_code == 200
    answer = client.post("/api/v1/examples/digits")
    assert answer.status_code == 403, "a cookie alone changes nothing"


# ── limits ────────────────────────────────────────────────────────────────────────────────────


def test_too_many_requests_are_told_when_to_come_again(serve: Serve) -> None:
    client = serve(per_minute=3)
    answers = [client.get("/healthz") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_guessing_the_token_is_slow(serve: Serve) -> None:
    client = serve(**ELSEWHERE, login_per_minute=2)
    guess = {**form_of(client), "token": "guess"}
    codes = [client.post("/login", data=guess).status_code for _ in range(3)]
    assert codes == [403, 403, 429]


def test_guessing_the_token_in_requests_is_slow_wherever_they_go(serve: Serve) -> None:
    client = serve(**ELSEWHERE, login_per_minute=3)
    right, wrong = ({"Authorization": f"Bearer {one}"} for one in (ELSEWHERE["token"], "guess"))
    assert client.get("/api/v1/runs", headers=right).status_code == 200
    places = ("/api/v1/runs", "/api/v1/nothing", "/login", "/static/app.css")
    answers = [client.get(place, headers=wrong) for place in places]
    assert [answer.status_code for answer in answers] == [401, 401, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    late = client.get("/api/v1/runs", headers=right)
    assert late.status_code == 429, "else the right token would be told from wrong ones"
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    other = client.get("/api/v1/runs", headers=right, environ_base=elsewhere)
    assert other.status_code == 200, "another client guessed nothing"
    assert client.get("/healthz").status_code == 200


def test_what_is_not_there_is_counted_too(serve: Serve) -> None:
    client = serve(per_minute=2)
    answers = [client.get("/nothing"), client.put("/login"), client.get("/api/v1/nothing")]
    assert [answer.status_code for answer in answers] == [404, 405, 429]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("oak", "beech"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").touch()
    return tmp_path / "data"


def test_the_queue_of_jobs_is_short(serve: Serve, pictures: Path) -> None:
    client = serve(data=(pictures,), queued_jobs=2)
    (data,) = client.get("/api/v1/data").get_json()["data"]
    answers = [
        client.post("/api/v1/inspections", json={"data": data["id"]}, headers=OURS)
        for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_no_client_fills_a_queue_alone(serve: Serve, pictures: Path) -> None:
    client = serve(data=(pictures,), queued_jobs=4)
    (data,) = client.get("/api/v1/data").get_json()["data"]

    def look(address: str) -> int:
        wish = {"data": data["id"]}
        place = {"REMOTE_ADDR": address}
        answer = client.post("/api/v1/inspections", json=wish, headers=OURS, environ_base=place)
        return answer.status_code

    assert [look("192.0.2.1") for _ in range(4)] == [202, 202, 202, 429]
    assert [look("192.0.2.2") for _ in range(2)] == [202, 429]
    classifying = Inference(device="cpu", answer_seconds=1, waiting=8)
    with pytest.raises(BusyError, match="are yours"):
        classifying.classify({"files": ["x"] * 7}, client="192.0.2.1")


def test_large_requests_are_not_read(serve: Serve) -> None:
    client = serve(upload_bytes=1000)
    form = {"archive": (io.BytesIO(b"x" * 2000), "large.zip")}
    assert client.post("/api/v1/data", data=form, headers=OURS).status_code == 413


# ── places ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../../etc/passwd",
        "/runs/..%2f..%2fetc/report",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/api/v1/generations/..%2f..%2fsecret.key",
        "/api/v1/generations/../../secret.key/archive",
        "/jobs/..%2fsecret.key/page",
        "/api/v1/runs/0000000000000000/samples/0",
        "/api/v1/runs/..%2f..%2fetc/generated/0",
        "/api/v1/pools/..%2f..%2fhome",
        "/api/v1/pools/0000000000000000/images/..%2f..%2fpool.json",
        "/api/v1/blind-tests/..%2f..%2fhome/pictures/0",
        "/api/v1/data/..%2f..%2fetc/tables",
        "/api/v1/jobs/..%2fx/sheets/..%2f..%2fsecret/0/0",
        "/runs/..%2f..%2fetc/images",
        "/runs/..%2f..%2fetc/blind-test",
    ],
)
def test_no_path_leads_out(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_data_sets_are_named_by_ids_only(serve: Serve, tmp_path: Path) -> None:
    client = serve(data=(tmp_path,))
    for given in ("../../etc", "/etc", "0" * 16):
        answer = client.post("/api/v1/studies", json={"data": given}, headers=OURS)
        assert answer.status_code in (400, 404), given
    assert client.get("/api/v1/jobs").get_json()["jobs"] == []


def test_secrets_are_readable_by_their_owner_only(serve: Serve, tmp_path: Path) -> None:
    serve()
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert (tmp_path / "home" / "secret.key").stat().st_mode & 0o077 == 0


def test_servers_that_start_together_sign_with_the_same_key(tmp_path: Path) -> None:
    for attempt in range(20):
        home = tmp_path / str(attempt)
        home.mkdir()
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(secret_key, [home] * 8))
        assert len(keys) == 1
        assert len(keys.pop()) == 32
        assert [file.name for file in home.iterdir()] == ["secret.key"]


def test_errors_show_no_trace(client: FlaskClient) -> None:
    def fails() -> str:
        raise RuntimeError("secret detail")

    client.application.add_url_rule("/fails", view_func=fails)
    answer = client.get("/fails")
    assert answer.status_code == 500
    assert "secret detail" not in answer.get_data(as_text=True)
    assert "Traceback" not in answer.get_data(as_text=True)
    missing = client.get("/<script>alert(1)</script>")
    assert missing.status_code == 404
    assert "alert(1)" not in missing.get_data(as_text=True)


def test_the_web_process_never_loads_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from synthlift.web import Settings, create_app; "
        f"app = create_app(Settings(home=Path({str(tmp_path / 'home')!r}))).test_client(); "
        f"codes = [app.get(p).status_code for p in {PAGES + MORE!r}]; "
        "print(codes, [m for m in ('torch', 'sklearn', 'pandas', 'PIL') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{[200] * len(PAGES + MORE)} []\n"


# ── what the server never does ────────────────────────────────────────────────────────────────


def test_nothing_is_fetched_whatever_is_asked(tmp_path: Path) -> None:
    """An audit hook hears every connection and every name that is looked up."""
    code = f"""
import sys
heard = []
sys.addaudithook(lambda event, args: heard.append(event)
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request") else None)
from pathlib import Path
from synthlift.web import Settings, create_app
home = Path({str(tmp_path)!r})
client = create_app(Settings(home=home, store=home)).test_client()
url = "http://169.254.169.254/latest"
table = {{"data": "0" * 16, "table": url, "group": url}}
for body in ({{"data": url}}, table, {{"run": url}}, {{"name": url}}):
    for path in ("studies", "forecasts", "inspections", "generations", "pools"):
        client.post("/api/v1/" + path, json=body, headers={OURS!r})
for page in {PAGES!r}:
    client.get(page, query_string={{"run": url, "pool": url}})
print(heard)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n", said.stderr


PACKAGE = Path(synthlift.__file__).parent


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_is_unpickled() -> None:
    """No module reads pickles, and what could read one is told not to."""
    wrong = []
    for path, tree in modules():
        if "testing" in path.parts:  # it checks that components can be sent to other processes
            continue
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(n.split(".")[0] in ("pickle", "shelve", "dill", "joblib") for n in names):
                wrong.append(f"{path.name}: imports {names}")
            if isinstance(node, ast.Call):
                told = {one.arg: one.value for one in node.keywords}
                allowed = told.get("allow_pickle")
                if isinstance(allowed, ast.Constant) and allowed.value:
                    wrong.append(f"{path.name}: allow_pickle")
                safe = told.get("weights_only")
                if ast.unparse(node.func) == "torch.load" and not getattr(safe, "value", False):
                    wrong.append(f"{path.name}: torch.load")
                if ast.unparse(node.func).endswith(("read_pickle", "unsafe_load", "full_load")):
                    wrong.append(f"{path.name}: {ast.unparse(node.func)}")
    # `synthlift models convert` writes pickled weights as safetensors, when its user says so.
    assert sorted(wrong) == ["weights.py: _read_pickle", "weights.py: torch.load"]
    web = [path.read_text(encoding="utf-8") for path in (PACKAGE / "web").rglob("*.py")]
    assert not any("api.weights" in text for text in web)


def test_what_is_asked_is_not_logged(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "a-private-word"
    form = {"archive": (io.BytesIO(b"no zip"), f"{secret}.zip")}
    client.post("/api/v1/data", data=form, headers=OURS)
    client.post("/api/v1/pools", json={"name": secret}, headers=OURS)
    body = {"run": "0" * 16, "generator": secret, "label": secret}
    client.post("/api/v1/generations", json=body, headers=OURS)
    client.get(f"/api/v1/runs/{'0' * 16}/generated", query_string={"label": secret})
    assert secret not in caplog.text
    out, err = capfd.readouterr()
    assert secret not in out + err


def test_too_many_blind_tests_are_refused(serve: Serve) -> None:
    here = serve(blind_tests=1).application.extensions["synthlift"]
    here.blind.begin("0" * 16, generator="flow", shown=[])
    with pytest.raises(BusyError):
        here.blind.begin("0" * 16, generator="flow", shown=[])
    here.blind.delete_older(time.time() + 1)
    here.blind.begin("0" * 16, generator="flow", shown=[])
