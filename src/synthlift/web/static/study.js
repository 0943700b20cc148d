"use strict";
(() => {
  const { ask, say, make, fill, wait, find, several } = Synthlift;
  const STATES = { queued: "waiting", running: "running", cancelling: "stopping", done: "done", failed: "failed", cancelled: "stopped" };
  let data = [];
  let looking = 0;

  const chosen = () => data.find((one) => one.id === find("data").value);

  async function showData(select) {
    data = (await ask("GET", "data")).data;
    const pairs = data.map((one) => [one.id, one.kind === "upload" ? `${one.name} (upload)` : one.name]);
    fill(find("data"), pairs.length ? pairs : [["", "none yet – upload a zip"]], select || find("data").value);
    choose();
  }

  function choose() {
    looking += 1;
    find("found").hidden = true;
    find("delete").hidden = !chosen() || chosen().kind !== "upload";
    find("inspect").disabled = find("go").disabled = !chosen();
  }

  async function guarded(node, action) {
    try {
      await action();
    } catch (error) {
      say(node, error.message, true);
    }
  }

  function upload() {
    const file = find("archive").files[0];
    if (!file) return;
    guarded(find("data-said"), async () => {
      say(find("data-said"), `${file.name} is being uploaded …`);
      const form = new FormData();
      form.append("archive", file);
      const one = await ask("POST", "data", form);
      await showData(one.id);
      say(find("data-said"), `${one.name} is here. Look at the pictures before you start.`);
    });
    find("archive").value = "";
  }

  function describe(job) {
    const found = job.found;
    const counts = Object.entries(found.classes).map(([name, n]) => make("li", {}, `${name}: ${n.toLocaleString("en")}`));
    const warnings = found.warnings.map((text) => make("li", {}, text));
    const parts = [make("p", {}, `${several(found.images, "picture", "pictures")}, ${found.usable.toLocaleString("en")} of them usable, in ${several(counts.length, "class", "classes")}:`),
      make("ul", { class: "counts" }, ...counts)];
    if (warnings.length) parts.push(make("div", { class: "fault" }, make("strong", {}, "Worth knowing"), make("ul", {}, ...warnings)));
    parts.push(make("p", {}, make("a", { href: `/jobs/${job.id}` }, "See everything that was found, with pictures")));
    find("found").replaceChildren(...parts);
    find("found").hidden = false;
  }

  function inspect() {
    const mine = looking += 1;
    guarded(find("data-said"), async () => {
      say(find("data-said"), "Looking at every picture …");
      let job = await ask("POST", "inspections", { data: chosen().id });
      while (["queued", "running"].includes(job.state)) {
        await wait(800);
        if (mine !== looking) return;
        job = await ask("GET", `jobs/${job.id}`);
      }
      if (mine !== looking) return;
      if (job.state !== "done" || !job.found) throw new Error(job.error || "It was stopped.");
      say(find("data-said"), "");
      describe(job);
    });
  }

  function begin(event) {
    event.preventDefault();
    const question = document.querySelector('input[name="question"]:checked').value;
    guarded(find("said"), async () => {
      const job = await ask("POST", "studies", { data: chosen().id, question, budget: find("budget").value });
      location.assign(`/jobs/${job.id}`);
    });
  }

  async function showJobs() {
    const jobs = (await ask("GET", "jobs")).jobs;
    find("no-jobs").hidden = jobs.length > 0;
    find("jobs").replaceChildren(...jobs.map((job) => make("li", {},
      make("a", { href: `/jobs/${job.id}` }, job.kind === "inspect" ? `A look at ${job.title}` : job.title),
      make("p", { class: "meta" }, `${STATES[job.state]} · ${new Date(1000 * job.created).toLocaleString()}`))));
  }

  find("data").addEventListener("change", choose);
  find("archive").addEventListener("change", upload);
  find("inspect").addEventListener("click", inspect);
  find("wish").addEventListener("submit", begin);
  find("delete").addEventListener("click", () => guarded(find("data-said"), async () => {
    const name = chosen().name;
    await ask("DELETE", `data/${chosen().id}`);
    await showData();
    say(find("data-said"), `${name} was deleted.`);
  }));
  guarded(find("data-said"), showData);
  guarded(find("said"), showJobs);
})();
