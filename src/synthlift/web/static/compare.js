"use strict";
(() => {
  const { ask, say, make, duration, size, find, named } = Synthlift;
  const MOST = 6;
  const known = new Map();
  let latest = 0;

  const MINUS = "−";
  const signed = (value) => {
    const text = Math.abs(100 * value).toFixed(1);
    return Number(text) === 0 ? text : `${value < 0 ? MINUS : "+"}${text}`;
  };
  const share = (value) => (value < 0 ? MINUS : "") + Math.abs(100 * value).toFixed(1);
  const ranged = (one, write) => (one.low === null ? write(one.value) : `${write(one.value)} (${share(one.low)} to ${share(one.high)})`);

  async function figures(id) {
    if (!known.has(id)) known.set(id, await ask("GET", `runs/${id}/figures`));
    return known.get(id);
  }

  const ROWS = [
    ["Answer", (one) => one.answer],
    ["In a word", (one) => (one.why_exploratory.length ? [`${one.word} `, make("span", { class: "mark", title: one.why_exploratory.join("; ") }, "exploratory")] : one.word)],
    ["Compared by", (one) => one.metric.replaceAll("_", " ")],
    ["Difference in points", (one) => (one.primary ? ranged(one.primary.difference, signed) : "–")],
    ["With generated images", (one) => (one.primary ? one.primary.arm : "–")],
    ["Best rival", (one) => (one.primary ? one.primary.rival : "–")],
    ["Minimal detectable effect", (one) => (one.primary && one.primary.smallest_effect !== null ? `${share(one.primary.smallest_effect)} points` : "–")],
    ["Pictures", (one) => `${one.images.toLocaleString("en")} in ${one.classes.length} classes, ${one.image_size} × ${one.image_size} pixels${one.share === null ? "" : `, ${Math.round(100 * one.share)} % of the labels used`}`],
    ["Design", (one) => `${one.design}, ${one.replicates} repetitions`],
    ["Generators", (one) => Object.entries(one.generators).map(([name, kind]) => (name === kind ? name : `${name} (${kind})`)).join(", ") || "none"],
    ["Work", (one) => duration(one.cost.seconds)],
    ["Energy", (one) => (one.cost.energy_kwh === null ? "not known" : make("span", { title: one.cost.energy_method }, `${(1000 * one.cost.energy_kwh).toPrecision(2)} Wh`))],
    ["Disk", (one) => size(one.cost.disk_mib * 1024 ** 2)],
  ];

  function head(table, runs, first) {
    table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col" }, first),
      ...runs.map((one) => make("th", { scope: "col" }, make("a", { href: one.report }, named(one))))));
  }

  function row(title, cells) {
    return make("tr", {}, make("th", { scope: "row" }, title), ...cells.map((cell) => make("td", {}, ...(Array.isArray(cell) ? cell : [cell]))));
  }

  function cautions(runs) {
    const same = (of) => new Set(runs.map(of)).size === 1;
    const said = [];
    if (!same((one) => one.metric)) said.push("They were compared by different figures: their differences cannot be set against each other.");
    if (same((one) => one.test_set) && runs[0].test_set) said.push("All were tested on the same pictures: levels may be compared, too. A difference between two studies has no interval here, since each interval is about one study.");
    else said.push("They were tested on different pictures: compare differences, not levels.");
    if (!same((one) => [...one.classes].sort().join("\n"))) said.push("They are about different classes.");
    if (runs.some((one) => one.why_exploratory.length)) said.push("Those marked exploratory give a reason to look again, no verdict.");
    const doubled = labels(runs);
    if (doubled) said.push(doubled);
    find("cautions").replaceChildren(...said.map((text) => make("p", { class: "fault" }, text)));
  }

  // Two studies of one question: with half of the labels, and with all.
  function labels(runs) {
    if (runs.length !== 2 || runs.some((one) => one.share === null) || runs[0].test_set !== runs[1].test_set) return "";
    const [less, more] = [...runs].sort((a, b) => a.share - b.share);
    const best = (one, role) => Math.max(...one.arms.filter((arm) => arm.role === role).map((arm) => arm.level.value));
    const [before, after, generated] = [best(less, "rival"), best(more, "rival"), best(less, "generative")];
    if (less.share === more.share || ![before, after, generated].every(Number.isFinite)) return "";
    return `Label more, or generate? With ${Math.round(100 * less.share)} % of the labels, the best without generated images reached ${share(before)} %. ${Math.round(100 * more.share)} % of the labels brought ${signed(after - before)} points; generating instead brought ${signed(generated - before)} points. Best arms are looked up here after the test, which flatters each a little.`;
  }

  async function show() {
    const mine = latest += 1;
    const chosen = [...find("runs").querySelectorAll("input:checked")].map((one) => one.value);
    for (const box of find("runs").querySelectorAll("input")) box.disabled = chosen.length >= MOST && !box.checked;
    history.replaceState(null, "", chosen.length ? `?${chosen.map((id) => `run=${id}`).join("&")}` : location.pathname);
    find("compared").hidden = chosen.length < 2;
    if (chosen.length < 2) {
      say(find("said"), chosen.length ? "Choose one more." : "Choose two or more.");
      return;
    }
    try {
      const runs = await Promise.all(chosen.map(figures));
      if (mine !== latest) return;
      say(find("said"), `${runs.length} studies stand side by side.`);
      cautions(runs);
      head(find("table"), runs, "Study");
      find("table").tBodies[0].replaceChildren(...ROWS.map(([title, cell]) => row(title, runs.map(cell))));
      head(find("arms"), runs, "Arm");
      const names = [...new Set(runs.flatMap((one) => one.arms.map((arm) => arm.name)))];
      find("arms").tBodies[0].replaceChildren(...names.map((name) => row(name, runs.map((one) => {
        const arm = one.arms.find((each) => each.name === name);
        return arm ? ranged(arm.level, share) : "–";
      }))));
    } catch (error) {
      find("compared").hidden = true;
      say(find("said"), error.message, true);
    }
  }

  async function start() {
    let runs = [];
    try {
      runs = (await ask("GET", "runs")).runs;
    } catch (error) {
      say(find("said"), error.message, true);
      return;
    }
    find("none").hidden = runs.length > 0;
    find("choose").hidden = runs.length === 0;
    if (!runs.length) return;
    const wished = new URLSearchParams(location.search).getAll("run");
    find("runs").replaceChildren(...runs.map((one, place) => {
      const box = make("input", { type: "checkbox", id: `run-${place}`, value: one.id });
      box.checked = wished.includes(one.id);
      return make("p", { class: "choice" }, box, make("label", { for: `run-${place}` }, named(one), make("span", {}, one.answer)));
    }));
    find("choose").addEventListener("change", show);
    show();
  }

  start();
})();
