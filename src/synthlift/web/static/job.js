"use strict";
(() => {
  const { ask, say, make, fill, duration, size, wait, find, several, keepFocus, lock, locked } = Synthlift;
  const id = find("job").dataset.job;
  const ENDED = ["done", "failed", "cancelled"];
  const WORDS = { queued: "Waiting for its turn", running: "Running", cancelling: "Stopping; what is finished is kept",
    done: "Done", failed: "It failed", cancelled: "Stopped; what is finished is kept" };
  const OTHER = { queued: "it waits for its turn", running: "it runs", done: "it is done", failed: "it failed", cancelled: "it was stopped" };
  const sentence = (line) => `${line.slice(0, 1).toUpperCase()}${line.slice(1)}${/[.!?:]$/.test(line) || !line ? "" : "."}`;
  let live = { stages: [], sheets: [], curves: [] };
  let followed = true;
  const REREAD = 5000;
  let reread = 0;  // when the frame was last filled

  function show(job) {
    keepFocus(() => fillIn(job), () => find("state"));
  }

  function fillIn(job) {
    if (find("state").textContent !== WORDS[job.state]) find("state").textContent = WORDS[job.state];
    const progress = job.progress;
    const known = progress && progress.total;
    find("progress").hidden = !known;
    if (known) find("progress").value = progress.done / progress.total;
    say(find("stage"), known
      ? [`${progress.label}: ${progress.done} of ${progress.total}`,
        progress.seconds_left ? `about ${duration(progress.seconds_left)} left of this stage` : "",
        progress.seconds ? `running for ${duration(progress.seconds)}` : ""].filter(Boolean).join(" · ")
      : job.state === "running" ? "Getting ready …"
        : ["failed", "cancelled"].includes(job.state) && !job.goes_on
          ? "Pictures that it reads were deleted, so that it cannot go on. Start a new one." : "");
    const tasks = (progress && progress.tasks) || [];
    find("tasks").replaceChildren(...tasks.map((task) => make("li", {}, `${task.label}: ${task.done} of ${task.total}`)));
    find("error").hidden = !job.error;
    // What was given, the rule and the remedy, one a line.
    find("error").textContent = job.error.split("\n").map(sentence).join("\n");
    find("cancel").hidden = !["queued", "running"].includes(job.state);
    find("resume").hidden = !job.goes_on;
    find("delete").hidden = !ENDED.includes(job.state);
    find("open").hidden = !job.run;
    if (job.run) find("open").href = `/runs/${job.run}`;
    if (find("both")) showBoth(job);
    showPage(job);
  }

  // One of two studies: what was asked is answered by both together.
  function showBoth(job) {
    find("both").hidden = !job.other;
    find("answer").hidden = !job.answer;
    if (job.answer) find("answer").href = job.answer;
    if (!job.other) return;
    find("other").href = `/jobs/${job.other.id}`;
    find("other").textContent = `The other one, with ${job.other.part}:`;
    find("other-words").textContent = `${OTHER[job.other.state]}.${job.answer ? "" : " The answer needs both."}`;
  }

  // The page in the frame has no origin, so that it could not show that somebody has signed in: it
  // never asks for anything itself, and is filled anew from here when it was written anew.
  function showPage(job) {
    const frame = find("page").querySelector("iframe");
    const ready = job.page && !job.run;
    const due = ENDED.includes(job.state) || Date.now() - reread >= REREAD;
    if (ready && due && frame.dataset.shown !== job.page) {
      frame.dataset.shown = frame.src = job.page;
      reread = Date.now();
    }
    find("page").hidden = !ready;
  }

  // ── while it runs ─────────────────────────────────────────────────────────────────────────

  const key = (one) => `${one.generator}/${one.fit}`;
  const ofFit = (list) => list.filter((one) => key(one) === find("fit").value);

  function showLive() {
    find("live").hidden = live.stages.length === 0 && live.curves.length === 0;
    find("stages").replaceChildren(...live.stages.map((one) => make("li", {}, make("span", {}, one.title),
      make("span", { class: "meta" }, ` ${several(one.done, "task", "tasks")} done, ${duration(one.seconds)} of work`))));
    const fits = [...new Map([...live.curves, ...live.sheets].map((one) => [key(one), one])).values()];
    find("drawing").hidden = fits.length === 0;
    if (!fits.length) return;
    const pairs = fits.map((one) => [key(one), `${one.generator}, ${one.fit + 1}`]);
    fill(find("fit"), pairs, followed ? pairs[pairs.length - 1][0] : find("fit").value);
    showFit();
  }

  function showFit() {
    const sheets = ofFit(live.sheets);
    find("sheet-place").hidden = sheets.length === 0;
    if (sheets.length) {
      const slider = find("step");
      const atEnd = Number(slider.value) === Number(slider.max);
      slider.max = sheets.length - 1;
      if (atEnd) slider.value = slider.max;
      showSheet();
    }
    drawCurve(ofFit(live.curves)[0]);
  }

  function showSheet() {
    const one = ofFit(live.sheets)[Number(find("step").value)];
    if (!one) return;
    const image = find("sheet");
    if (image.getAttribute("src") !== one.url) image.src = one.url;
    image.alt = `Synthetic pictures that ${one.generator} drew at step ${one.step} of its training`;
    find("sheet-words").textContent = `drawn at step ${one.step.toLocaleString("en")}`;
    find("step").setAttribute("aria-valuetext", `step ${one.step}`);
  }

  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };

  function drawCurve(curve) {
    const enough = curve && curve.points.length > 1;
    find("curve-place").hidden = !enough;
    if (!enough) return;
    const [left, right, top, bottom] = [44, 312, 10, 128];
    const values = curve.points.map((point) => point[1]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const x = (step) => left + ((right - left) * step) / curve.total;
    const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low || 1);
    const label = (text, at, height, anchor) => {
      const node = svg("text", { x: at, y: height, "text-anchor": anchor });
      node.textContent = text;
      return node;
    };
    const path = curve.points.map(([step, value], place) => `${place ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    find("curve").replaceChildren(
      svg("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
      svg("path", { class: "line", d: path }),
      label(high.toPrecision(3), left - 4, top + 6, "end"), label(low.toPrecision(3), left - 4, bottom, "end"),
      label("0", left, bottom + 16, "start"), label(curve.total.toLocaleString("en"), right, bottom + 16, "end"));
    const [step, value] = curve.points[curve.points.length - 1];
    const words = `${curve.name} against training step: ${value.toPrecision(3)} at step ${step.toLocaleString("en")} of ${curve.total.toLocaleString("en")}`;
    find("curve").setAttribute("aria-label", words);
    find("curve-words").textContent = words;
  }

  // ── following and acting ──────────────────────────────────────────────────────────────────

  async function watch() {
    for (;;) {
      try {
        const job = await ask("GET", `jobs/${id}`);
        if (find("live")) {
          live = await ask("GET", `jobs/${id}/live`);
          keepFocus(showLive, () => find("fit"));
        }
        show(job);
        if ([job, job.other].every((one) => !one || ENDED.includes(one.state))) return;
      } catch (error) {
        say(find("stage"), error.message, true);
      }
      await wait(document.hidden ? 5000 : 1500);
    }
  }

  async function act(what) {
    try {
      show(await ask("POST", `jobs/${id}/${what}`));
      if (what === "resume") watch();
    } catch (error) {
      say(find("stage"), error.message, true);
    }
  }

  async function remove() {
    if (locked(find("sure-yes"))) return;
    lock(find("sure-yes"), true);
    try {
      const gone = await ask("DELETE", `jobs/${id}`);
      const title = make("h2", { id: "state", tabindex: -1 }, "Deleted");
      find("job").replaceChildren(title,
        make("p", { role: "status" }, gone.results ? `${several(gone.results, "result", "results")} and ${size(gone.bytes)} are gone with it.` : "Its files are gone."),
        make("p", {}, make("a", { href: "/study" }, "To the studies")));
      for (const other of ["live", "page"]) if (find(other)) find(other).hidden = true;
      title.focus();
    } catch (error) {
      lock(find("sure-yes"), false);
      keepFocus(() => { find("sure").hidden = true; }, () => find("delete"));
      say(find("stage"), error.message, true);
    }
  }

  find("cancel").addEventListener("click", () => act("cancel"));
  find("resume").addEventListener("click", () => act("resume"));
  find("delete").addEventListener("click", () => { find("sure").hidden = false; find("sure-no").focus(); });
  find("sure-no").addEventListener("click", () => { find("sure").hidden = true; find("delete").focus(); });
  find("sure-yes").addEventListener("click", remove);
  if (find("live")) {
    find("fit").addEventListener("change", () => { followed = false; showFit(); });
    find("step").addEventListener("input", showSheet);
  }
  watch();
})();
