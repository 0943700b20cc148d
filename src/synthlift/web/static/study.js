"use strict";
(() => {
  const { ask, askAgain, say, make, fill, wait, duration, size, tooLarge, find, several, wanted, keepFocus, renew, lock } = Synthlift;
  const STATES = { queued: "waiting", running: "running", cancelling: "stopping", done: "done", failed: "failed", cancelled: "stopped" };
  let data = [];
  let tables = [];
  let pools = [];
  let found = null;
  let lists = 0;  // how often pictures were listed
  let listed = 0;  // which of these lists is seen; a later one that failed takes no earlier one away
  let upcoming = "";  // what the next list is to choose
  let choices = 0;  // how often pictures were chosen
  let starting = false;
  const SAID = { look: "data-said", plan: "said" };
  const turns = { look: 0, plan: 0 };  // how often a look, or a forecast, was asked for or given up
  const waiting = { look: false, plan: false };
  const told = { look: "", plan: "" };  // while they wait

  const chosen = () => data.find((one) => one.id === find("data").value);
  const table = () => tables.find((one) => one.name === find("table").value);
  const picked = () => document.querySelector('input[name="question"]:checked');
  const question = () => picked().value;

  async function guarded(node, action) {
    try {
      await action();
    } catch (error) {
      say(node, error.message, true);
    }
  }

  // ── the pictures ──────────────────────────────────────────────────────────────────────────

  async function showData(select) {
    upcoming = select || upcoming;
    const mine = lists += 1;
    const read = (await ask("GET", "data")).data;
    if (mine < listed) return;
    listed = mine;
    data = read;
    const choice = data.some((one) => one.id === upcoming) ? upcoming : find("data").value;
    if (mine === lists) upcoming = "";
    const pairs = data.map((one) => [one.id, one.kind === "upload" ? `${one.name} (upload)` : one.name]);
    fill(find("data"), pairs.length ? pairs : [["", "none yet – upload a zip"]], choice);
    await choose();
  }

  async function choose() {
    const mine = choices += 1;
    const one = chosen();
    tables = [];
    find("tables").hidden = find("columns").hidden = true;
    forget();
    keepFocus(() => { find("delete").hidden = !one || one.kind !== "upload"; }, () => find("data"));
    find("inspect").disabled = !one;
    const read = one && one.tables.length ? (await ask("GET", `data/${one.id}/tables`)).tables : [];
    if (mine !== choices) return;
    tables = read;
    find("tables").hidden = tables.length === 0;
    fill(find("table"), [["", "no table"], ...tables.map((each) => [each.name, each.name])], tables.length ? tables[0].name : "");
    chooseTable();
  }

  // What was seen, or foretold, holds for the choices that it was asked with.
  function forget() {
    found = null;
    giveUp("look");
    find("found").hidden = true;
    say(find("found-words"), "");
    forgetPlan();
  }

  function forgetPlan() {
    giveUp("plan");
    find("plan").hidden = true;
    say(find("plan-words"), "");
    showObstacles();
  }

  // Somebody else may have said something there meanwhile, such as why an upload was refused.
  function hush(what) {
    if (find(SAID[what]).textContent === told[what]) say(find(SAID[what]), "");
  }

  // Nobody waits any more for what was asked.
  function giveUp(what) {
    turns[what] += 1;
    if (waiting[what]) hush(what);
    waiting[what] = false;
  }

  function problem() {
    const one = table();
    return one && one.problem ? `The table ${one.name} cannot be used: ${one.problem}` : "";
  }

  function chooseTable() {
    const one = table();
    find("columns").hidden = !one || one.problem !== "";
    if (problem() && !find("data-said").textContent) say(find("data-said"), problem(), true);
    const columns = one ? one.columns : [];
    const words = (column) => `${column.name} – ${several(column.values, "value", "values")}, such as ${column.examples.slice(0, 2).join(", ")}`;
    fill(find("group"), [["", "nothing: each picture stands alone"], ...columns.filter((each) => each.may_group || each.may_divide).map((each) => [each.name, words(each)])]);
    const divide = columns.filter((each) => each.may_divide);
    find("attributes").replaceChildren(...divide.map((each, place) => make("p", { class: "choice" },
      make("input", { type: "checkbox", id: `column-${place}`, value: each.name }),
      make("label", { for: `column-${place}` }, words(each)))));
    if (one && !divide.length) find("attributes").replaceChildren("No column has between 2 and 30 values that repeat.");
    const options = find("attribute-columns");
    options.hidden = divide.length === 0;
    options.replaceChildren(...divide.map((each) => make("option", { value: `column:${each.name}` }, each.name)));
    forget();
  }

  function upload() {
    const file = find("archive").files[0];
    if (!file) return;
    guarded(find("data-said"), async () => {
      if (tooLarge([file], find("archive"))) {
        throw new Error(`${file.name} is too large.\nThe rule: an upload has at most ${size(find("archive").dataset.most)}.\nUpload fewer or smaller pictures. A larger collection is served as a folder: synthlift serve --data FOLDER.`);
      }
      say(find("data-said"), `${file.name} is being uploaded …`);
      const form = new FormData();
      form.append("archive", file);
      const one = await ask("POST", "data", form);
      try {
        await showData(one.id);
      } catch (error) {
        throw new Error(`${one.name} is here, but is not listed below: ${error.message}\nReload the page to choose it.`);
      }
      say(find("data-said"), `${one.name} is here. ${problem() || "Look at the pictures before you start."}`, problem() !== "");
    });
    find("archive").value = "";
  }

  function joined() {
    const columns = find("columns").hidden ? [] : [...find("attributes").querySelectorAll("input:checked")];
    return {
      data: chosen().id,
      table: find("columns").hidden ? "" : find("table").value,
      group: find("columns").hidden ? "" : find("group").value,
      attributes: columns.map((one) => one.value),
    };
  }

  function describe(job) {
    const counts = Object.entries(found.classes).map(([name, n]) => make("li", {}, `${name}: ${n.toLocaleString("en")}`));
    const warnings = found.warnings.map((text) => make("li", {}, text));
    const parts = [make("ul", { class: "counts" }, ...counts)];
    if (found.smallest_effect !== null) {
      parts.push(make("p", {}, `With so many pictures, a study would find differences above about ${(100 * found.smallest_effect).toFixed(1)} percentage points; smaller ones may exist unseen.`));
    }
    if (warnings.length) parts.push(make("div", { class: "fault" }, make("strong", {}, "Worth knowing"), make("ul", {}, ...warnings)));
    parts.push(make("p", {}, make("a", { href: `/jobs/${job.id}` }, "See everything that was found, with pictures")));
    find("found").replaceChildren(...parts);
    find("found").hidden = false;
    say(find("found-words"), `${several(found.images, "picture", "pictures")}, ${found.usable.toLocaleString("en")} of them usable, in ${several(counts.length, "class", "classes")}:`);
  }

  // Asks for a job and waits for it; null when something else was chosen meanwhile.
  async function finished(what, path, body, words) {
    giveUp(what);
    const mine = turns[what];
    const given = () => mine !== turns[what];
    waiting[what] = true;
    say(find(SAID[what]), told[what] = words);
    try {
      let job = await ask("POST", path, body);
      while (!given() && ["queued", "running"].includes(job.state)) {
        await wait(800);
        if (!given()) job = await askAgain(`jobs/${job.id}`);
      }
      if (given()) {
        // The next forecast need not wait for one that nobody will see; a look is listed below.
        if (what === "plan") ask("POST", `jobs/${job.id}/cancel`).catch(() => {});
        return null;
      }
      if (job.state !== "done") throw new Error(job.error || "It was stopped.");
      hush(what);
      return job;
    } catch (error) {
      if (given()) return null;
      throw error;
    } finally {
      if (!given()) waiting[what] = false;
    }
  }

  function inspect() {
    if (waiting.look) return;
    guarded(find("data-said"), async () => {
      const job = await finished("look", "inspections", joined(), "Looking at every picture …");
      if (!job) return;
      found = job.found;
      describe(job);
      showObstacles();
      await showJobs();
    });
  }

  // ── the question ──────────────────────────────────────────────────────────────────────────

  function obstacleOf(name) {
    if (name === "group" && question() === "group" && !find("attribute").value) return "Choose what divides the pictures into groups.";
    if (name === "pool" && !pools.length) return "There is no pool with pictures yet. Make one on the page “Chain”: draw pictures and keep some.";
    return (found && found.obstacles[name]) || "";
  }

  function showObstacles() {
    for (const input of document.querySelectorAll('input[name="question"]')) {
      find(`obstacle-${input.value}`).textContent = obstacleOf(input.value);
    }
    find("for-group").hidden = question() !== "group";
    find("for-pool").hidden = find("pool-help").hidden = question() !== "pool" || !pools.length;
    const stuck = !chosen() || obstacleOf(question()) !== "";
    keepFocus(() => { find("forecast").disabled = find("go").disabled = stuck; }, picked);
    lock(find("go"), starting);
  }

  async function showPools() {
    pools = (await ask("GET", "pools")).pools.filter((one) => one.kept > 0);
    fill(find("pool"), pools.map((one) => [one.id, `${one.name} – ${several(one.kept, "picture", "pictures")}`]), wanted("pool"));
    if (wanted("pool") && pools.length) find("question-pool").checked = true;
    showObstacles();
  }

  function wish() {
    const asked = { ...joined(), question: question(), budget: find("budget").value };
    const [kind, ...name] = find("attribute").value.split(":");
    if (question() === "group") Object.assign(asked, { attribute: name.join(":"), derived: kind === "derived" });
    if (question() === "pool") asked.pool = find("pool").value;
    return asked;
  }

  // ── the time ──────────────────────────────────────────────────────────────────────────────

  function time(plan) {
    if (plan.seconds === null) return "not known";
    const [number, unit] = [parseInt(find("budget").value, 10), find("budget").value.slice(-1)];
    const budget = (number * (unit === "h" ? 3600 : 60)) / (question() === "label" ? 2 : 1);
    const each = question() === "label" ? " for each of the two studies" : "";
    if (plan.seconds <= budget) return `at most ${duration(plan.seconds)}${each}`;
    return `about ${duration(budget)}${each}; all repetitions would take up to ${duration(plan.seconds)}, and those that do not fit are left out`;
  }

  function showPlan(job) {
    const plan = job.forecast;
    const pairs = [
      ["Time", time(plan)],
      ["Disk", plan.disk_bytes === null ? "not known" : `${plan.disk_bytes_about === null ? "" : `about ${size(plan.disk_bytes_about)}, `}at most ${size(plan.disk_bytes)}`],
      ["Size of the pictures", `${plan.image_size} × ${plan.image_size} pixels`],
      ["Repetitions", `${plan.replicates}, with ${several(plan.generator_fits, "training", "trainings")} of the generator`],
      ["Smallest difference it would find", plan.smallest_effect === null ? "not known" : `${(100 * plan.smallest_effect).toFixed(1)} percentage points`],
    ];
    find("plan-facts").replaceChildren(...pairs.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
    const lacks = ["group", "classes"].includes(question()) && !plan.arms.some((name) => name.startsWith("targeted"));
    const warnings = [...(lacks ? ["In this time, training with images for the weaker groups or rarer classes has to be given up: the question would be answered only in part. Give it more time."] : []), ...plan.warnings];
    find("plan-warnings").hidden = warnings.length === 0;
    find("plan-warnings").replaceChildren(...warnings.map((text) => make("li", {}, text)));
    find("plan-arms").replaceChildren(...plan.arms.map((name) => make("li", {}, name)));
    find("plan-reasons").replaceChildren(...plan.reasons.map((text) => make("li", {}, text)));
    find("plan-command").textContent = job.command.replace("synthlift plan", "synthlift run");
    find("plan").hidden = false;
    say(find("plan-words"), `What it takes is reckoned. ${pairs.slice(0, 2).map((pair) => pair.join(": ")).join(". ")}.`);
  }

  function forecast() {
    if (waiting.plan) return;
    guarded(find("said"), async () => {
      const job = await finished("plan", "forecasts", wish(), "Reading the pictures and reckoning; nothing is trained …");
      if (!job) return;
      learn(job);
      if (!obstacleOf(question())) showPlan(job);
    });
  }

  // A forecast has read the pictures, too: questions that they cannot answer are known from then on.
  function learn(job) {
    found = found || { obstacles: job.forecast.obstacles };
    showObstacles();
  }

  // Whether the question can be asked of these pictures, which are read first where that is not known.
  async function mayAsk() {
    if (!("looks" in picked().dataset) || found) return true;
    const job = await finished("plan", "forecasts", wish(), "The pictures are read first, to see whether they can answer that …");
    if (!job) return false;
    learn(job);
    if (!obstacleOf(question())) return true;
    throw new Error(`The study was not started. ${obstacleOf(question())}`);
  }

  async function begin(event) {
    event.preventDefault();
    if (starting) return;
    starting = true;
    showObstacles();
    giveUp("plan");
    try {
      if (!await mayAsk()) {
        starting = false;
        showObstacles();
        return;
      }
      say(find("said"), "The study is being queued …");
      const job = await ask("POST", "studies", wish());
      say(find("said"), "");
      location.assign(`/jobs/${job.id}`);
    } catch (error) {
      say(find("said"), error.message, true);
      starting = false;
      showObstacles();
      (find("go").disabled ? picked() : find("go")).focus();
    }
  }

  async function showJobs() {
    const jobs = (await ask("GET", "jobs")).jobs;
    find("no-jobs").hidden = jobs.length > 0;
    renew(find("jobs"), jobs.map((job) => make("li", {},
      make("a", { href: `/jobs/${job.id}` }, [job.kind === "inspect" ? `A look at ${job.title}` : job.title, job.part].filter(Boolean).join(", ")),
      make("p", { class: "meta" }, `${STATES[job.state]} · ${new Date(1000 * job.created).toLocaleString()}`))), () => find("jobs-title"));
  }

  // What was said is said of an earlier choice, but not what an upload was told while the list came.
  find("data").addEventListener("change", () => guarded(find("data-said"), () => { say(find("data-said"), ""); return choose(); }));
  find("table").addEventListener("change", () => { say(find("data-said"), ""); chooseTable(); });
  find("archive").addEventListener("change", upload);
  find("inspect").addEventListener("click", inspect);
  find("forecast").addEventListener("click", forecast);
  find("wish").addEventListener("submit", begin);
  // Somebody who comes back finds the page as it was left.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    starting = false;
    showObstacles();
  });
  for (const id of ["group", "attributes"]) find(id).addEventListener("change", forget);
  for (const id of ["attribute", "pool", "budget"]) find(id).addEventListener("change", forgetPlan);
  for (const input of document.querySelectorAll('input[name="question"]')) {
    input.addEventListener("change", forgetPlan);
  }
  find("delete").addEventListener("click", () => guarded(find("data-said"), async () => {
    const name = chosen().name;
    await ask("DELETE", `data/${chosen().id}`);
    await Promise.all([showData(), showJobs()]);
    say(find("data-said"), `${name} was deleted. ${problem()}`.trim(), problem() !== "");
  }));
  guarded(find("data-said"), showData);
  guarded(find("said"), showPools);
  guarded(find("said"), showJobs);
})();
