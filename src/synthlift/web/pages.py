"""The pages. They are empty frames with words; their scripts fill them in through the API."""

from __future__ import annotations

from pathlib import Path

from flask import (
    Blueprint,
    Response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from synthlift.api.blind_tests import FEWEST, MOST
from synthlift.api.run_folder import REPORT
from synthlift.reporting.html import without_refresh
from synthlift.reporting.pages import runs_known_scripts, tokens
from synthlift.web.context import context
from synthlift.web.endpoints.jobs import PAGE, answer_with_other, job_facts
from synthlift.web.endpoints.runs import facts_of
from synthlift.web.errors import MissingError
from synthlift.web.examples import EXAMPLES, shipped_facts
from synthlift.web.questions import BUDGETS, DERIVED, QUESTIONS
from synthlift.web.schemas import LONGEST_WORDS
from synthlift.web.security import mark, may_enter, report_policy, token_is_right


def blueprint() -> Blueprint:
    """All pages."""
    made = Blueprint("pages", __name__)
    made.add_url_rule("/", view_func=home)
    made.add_url_rule("/generate", view_func=generate)
    made.add_url_rule("/classify", view_func=classify)
    made.add_url_rule("/study", view_func=study)
    made.add_url_rule("/chain", view_func=chain)
    made.add_url_rule("/compare", view_func=compare)
    made.add_url_rule("/jobs/<job>", view_func=job)
    made.add_url_rule("/jobs/<job>/page", view_func=job_page)
    made.add_url_rule("/runs/<run>", view_func=run)
    made.add_url_rule("/runs/<run>/images", view_func=gallery)
    made.add_url_rule("/runs/<run>/blind-test", view_func=blind_test)
    made.add_url_rule("/runs/<run>/report", view_func=report)
    made.add_url_rule("/tokens.css", endpoint="tokens", view_func=style)
    made.add_url_rule("/healthz", endpoint="health", view_func=health)
    made.add_url_rule("/login", endpoint="login", view_func=sign_in)
    made.add_url_rule("/login", view_func=enter, methods=["POST"])
    return made


def home() -> str:
    """What can be done, and what is there."""
    here = context()
    # They have cards of their own.
    own = {run for one in EXAMPLES.values() for run in one.run_ids(here.settings)}
    runs = [facts_of(run) for run in here.library.runs() if run.id not in own]
    return render_template("home.html", runs=runs)


def generate() -> str:
    """Draw images."""
    settings = context().settings
    return render_template(
        "generate.html",
        limit=settings.images,
        most=settings.picture_bytes,
        letters=LONGEST_WORDS,
    )


def classify() -> str:
    """Classify pictures."""
    settings = context().settings
    return render_template(
        "classify.html",
        pictures=settings.pictures,
        mib=settings.picture_bytes // 1024**2,
        most=settings.upload_bytes,
    )


def study() -> str:
    """Ask a question about a data set."""
    settings = context().settings
    return render_template(
        "study.html",
        questions=QUESTIONS,
        derived=DERIVED,
        budgets=BUDGETS,
        most=settings.upload_bytes,
        hours=round(settings.keep_seconds / 3600),
        folders=bool(settings.data),
    )


def chain() -> str:
    """Draw, judge by hand, and collect what is kept."""
    return render_template("chain.html", limit=context().settings.images, letters=LONGEST_WORDS)


def compare() -> str:
    """Finished runs side by side."""
    return render_template("compare.html")


def gallery(run: str) -> str:
    """The generated images of a run, one by one."""
    return render_template("gallery.html", run=facts_of(context().library.get(run)))


def blind_test(run: str) -> str:
    """Real or synthetic?"""
    return render_template(
        "blind.html", run=facts_of(context().library.get(run)), fewest=FEWEST, most=MOST
    )


def job(job: str) -> str:
    """A study or an inspection while it runs, and after."""
    return render_template(
        "job.html",
        job=job_facts(context().jobs.get(job)),
        question=QUESTIONS["label"].title,
    )


def run(run: str) -> str:
    """A run with its report."""
    here = context()
    found = here.library.get(run)
    file = found.path / REPORT
    return render_template(
        "run.html",
        run=facts_of(found),
        made=shipped_facts(here, found.id),
        answer=answer_with_other(found.path),
        question=QUESTIONS["label"].title,
        still=file.is_file() and not runs_known_scripts(file.read_bytes()),
    )


def report(run: str) -> Response:
    """A run's report, sandboxed."""
    return _sandboxed(context().library.get(run).path, REPORT)


def job_page(job: str) -> Response:
    """The live report of a study, or the page of an inspection, sandboxed."""
    found = context().jobs.get(job)
    return _sandboxed(found.folder, PAGE if found.kind == "inspect" else REPORT)


def _sandboxed(folder: Path, name: str) -> Response:
    """A page out of a folder that may be somebody else's: a link in it leads nowhere."""
    file = (folder / name).resolve()
    if not file.is_file() or file.parent != folder.resolve():
        raise MissingError(name)
    page = file.read_bytes().decode("utf-8", "surrogateescape")
    # A page without an origin comes back without a cookie: it would find the door shut.
    said = context().places.hidden(without_refresh(page)).encode("utf-8", "surrogateescape")
    response = Response(said, mimetype="text/html")
    response.headers["Content-Security-Policy"] = report_policy()
    return response


def style() -> Response:
    """The colours and typefaces of the report."""
    return Response(tokens(), mimetype="text/css", headers={"Cache-Control": "max-age=3600"})


def health() -> Response:
    """Whether the server answers; for supervisors."""
    return Response("ok\n", mimetype="text/plain")


def sign_in() -> AnyResponse | str:
    """Ask for the token."""
    if may_enter(context().settings):
        return redirect(url_for("pages.home"))
    return render_template("login.html", wrong=False, again="again" in request.args)


def enter() -> AnyResponse | tuple[str, int]:
    """Take the token."""
    given = request.form.get("token", "").strip()
    if not token_is_right(given, context().settings):
        return render_template("login.html", wrong=True), 403
    session.clear()
    session["entered"] = mark(context().settings)
    session.permanent = True
    return redirect(url_for("pages.home"))
