"use strict";
(() => {
  const { ask, askAgain, say, make, fill, nearest, unlike, percent, duration, wait, who, find, several, wanted, offerRuns, keepFocus, renew, lock, locked } = Synthlift;
  const PAUSE = 400;
  let runs = [];
  let pools = [];
  let drawing = null;
  let latest = 0;  // the question about a pool that counts
  let making = null;  // the pool that is being made

  const run = () => runs.find((one) => one.id === find("run").value);
  const generator = () => run().generators.find((one) => one.name === find("generator").value);
  const pool = () => pools.find((one) => one.id === find("pool").value);

  async function guarded(node, action) {
    try {
      await action();
    } catch (error) {
      say(node, error.message, true);
    }
  }

  // ── drawing ───────────────────────────────────────────────────────────────────────────────

  function showRun() {
    find("blind").href = `/runs/${run().id}/blind-test`;
    fill(find("generator"), run().generators.map((one) => [one.name, `${one.name} (${one.kind.replaceAll("_", " ")})`]));
    showGenerator();
  }

  function showGenerator() {
    fill(find("label"), generator().classes.map((name) => [name, name]), find("label").value);
    find("words").hidden = !generator().takes_prompts;
  }

  function busy(is) {
    lock(find("go"), is);
    keepFocus(() => { find("cancel").hidden = !is; }, () => find("go"));
  }

  async function draw(event) {
    event.preventDefault();
    if (locked(find("go"))) return;
    find("images").replaceChildren();
    busy(true);
    await guarded(find("said"), async () => {
      const prompt = (generator().takes_prompts && find("prompt").value.trim()) || null;
      const asked = { run: run().id, generator: generator().name, label: find("label").value, attributes: {}, prompt,
        seed: Number(find("seed").value), count: Number(find("count").value) };
      say(find("said"), "The generator is being loaded …");
      let state = await ask("POST", "generations", asked);
      drawing = state.id;
      let shown = 0;
      for (;;) {
        find("images").append(...state.images.map((image) => picture(state.id, image, asked.label)));
        shown += state.images.length;
        find("keys").hidden = shown === 0;
        if (state.state !== "running") break;
        const left = state.seconds_left ? `, about ${duration(state.seconds_left)} left` : "";
        say(find("said"), `${state.done} of ${state.total}${left}`);
        await wait(PAUSE);
        state = await askAgain(`generations/${drawing}?after=${shown}`);
      }
      if (state.state === "failed") throw new Error([state.error.given, state.error.remedy].filter(Boolean).join("\n"));
      const notes = state.remarks.map((one) => `Note: ${one}.`);
      say(find("said"), [`${several(state.done, "picture", "pictures")} to judge. Another seed gives others.`, ...notes].join("\n"));
    });
    drawing = null;
    busy(false);
  }

  // ── judging ───────────────────────────────────────────────────────────────────────────────

  function picture(generation, image, label) {
    const state = make("span", { class: "state", role: "status" });
    const keep = make("button", { type: "button", "aria-label": `Keep picture ${image.index + 1}` }, "Keep");
    const reject = make("button", { type: "button", "aria-label": `Reject picture ${image.index + 1}` }, "Reject");
    const item = make("li", { class: "judged", tabindex: 0, "aria-label": `Synthetic picture ${image.index + 1} of class ${label}` });
    const judge = (verdict) => guarded(find("said"), async () => {
      const name = await ready();
      await ask("POST", `pools/${find("pool").value}/verdicts`, { generation, index: image.index, verdict, who: name });
      item.dataset.verdict = verdict;
      state.textContent = verdict === "keep" ? "kept" : "rejected";
      await showPools(find("pool").value);
    });
    keep.addEventListener("click", () => judge("keep"));
    reject.addEventListener("click", () => judge("reject"));
    item.addEventListener("keydown", (event) => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "k") judge("keep");
      if (event.key === "r") judge("reject");
    });
    const caption = make("figcaption", {}, make("span", { class: "mark" }, "synthetic"), " ", state);
    if (image.seen) {
      caption.append(make("span", { class: image.seen.label === label ? "seen" : "seen other" },
        `seen as ${image.seen.label}, ${percent(image.seen.probability)}`));
    }
    if (image.near) caption.append(nearest(image.near, image.near.url, unlike(image.near)));
    item.append(make("figure", {}, make("div", { class: "frame" }, make("img", { src: image.url, alt: "" })), caption,
      make("p", { class: "buttons small" }, keep, reject)));
    return item;
  }

  // The name and the pool that a verdict needs; both are asked for where they are missing.
  async function ready() {
    const name = find("who").value.trim();
    if (!name) {
      find("who").focus();
      throw new Error("Say first who you are: a verdict stands beside a name.");
    }
    who(name);
    if (making || !pools.length || find("title").value.trim()) await makePool();
    return name;
  }

  // ── the pool ──────────────────────────────────────────────────────────────────────────────

  // One at a time: verdicts that come meanwhile wait for the same pool.
  function makePool() {
    making = making || newPool().finally(() => { making = null; });
    return making;
  }

  async function newPool() {
    const made = await ask("POST", "pools", { name: find("title").value.trim() || "my pictures" });
    find("title").value = "";
    await showPools(made.id);
  }

  async function showPools(select) {
    pools = (await ask("GET", "pools")).pools;
    fill(find("pool"), pools.length ? pools.map((one) => [one.id, one.name]) : [["", "none yet"]], select || wanted("pool") || undefined);
    await showPool();
  }

  // What is said of a pool and what is seen of it change together; the latest question counts.
  async function showPool() {
    const mine = latest += 1;
    const one = pool();
    const content = one && await ask("GET", `pools/${one.id}`);
    if (mine !== latest) return;
    find("pool-actions").hidden = !one;
    find("cautions").hidden = !one || one.cautions.length === 0;
    if (!one) {
      find("pool-words").textContent = "There is no pool yet.";
      renew(find("kept"), [], () => find("pool-title"));
      return;
    }
    const classes = Object.entries(one.classes).map(([name, n]) => `${n.toLocaleString("en")} of ${name}`).join(", ");
    find("pool-words").textContent = `${one.name}: ${several(one.kept, "picture", "pictures")} kept of ${one.judged.toLocaleString("en")} judged${classes ? ` – ${classes}` : ""}.`;
    find("cautions").replaceChildren(...one.cautions.map((text) => make("p", {}, `Copies? ${text}.`)));
    find("study").href = `/study?pool=${one.id}`;
    find("study").hidden = find("archive").hidden = one.kept === 0;
    find("archive").href = one.archive;
    const buttons = () => [...find("kept").querySelectorAll("button")];
    const place = buttons().indexOf(document.activeElement);
    renew(find("kept"), content.images.map((image) => kept(one.id, image)),
      () => buttons()[Math.min(place, content.images.length - 1)] || find("pool-title"));
  }

  function kept(id, image) {
    const out = make("button", { type: "button", "aria-label": `Take ${image.name} out` }, "Take out");
    out.addEventListener("click", () => guarded(find("pool-said"), async () => {
      await ask("DELETE", `pools/${id}/images/${image.name}?who=${encodeURIComponent(find("who").value.trim())}`);
      await showPools(id);
      say(find("pool-said"), "It is out again.");
    }));
    return make("li", {}, make("figure", {}, make("div", { class: "frame" }, make("img", { src: image.url, alt: `Synthetic picture of class ${image.label}` })),
      make("figcaption", {}, make("span", { class: "mark" }, "synthetic"), ` ${image.label}, kept by ${image.who}`,
        ...(image.near_copy ? [make("span", { class: "seen other" }, "nearly a copy of a training picture")] : [])),
      make("p", { class: "buttons small" }, out)));
  }

  async function start() {
    runs = await offerRuns((one) => one.generators.length > 0);
    if (!runs.length) return;
    find("who").value = who();
    showRun();
    find("run").addEventListener("change", showRun);
    find("generator").addEventListener("change", showGenerator);
    find("wish").addEventListener("submit", draw);
    find("cancel").addEventListener("click", () => {
      if (drawing) guarded(find("said"), () => ask("DELETE", `generations/${drawing}`));
    });
    find("pool").addEventListener("change", () => guarded(find("pool-said"), showPool));
    find("make").addEventListener("click", () => guarded(find("said"), makePool));
    find("delete").addEventListener("click", () => { find("sure").hidden = false; find("sure-no").focus(); });
    find("sure-no").addEventListener("click", () => { find("sure").hidden = true; find("delete").focus(); });
    find("sure-yes").addEventListener("click", () => guarded(find("pool-said"), async () => {
      keepFocus(() => { find("sure").hidden = true; }, () => find("pool-title"));
      await ask("DELETE", `pools/${find("pool").value}`);
      await showPools();
      say(find("pool-said"), "The pool was deleted.");
    }));
    guarded(find("pool-said"), showPools);
  }

  start();
})();
