"use strict";
// The built-in examples: where their runs come from, and what can be done with them.
(() => {
  const { ask, askAgain, say, make, duration, wait, find, renew, lock, locked } = Synthlift;
  const PAUSE = 2000;
  const states = {};

  function card(one) {
    const state = make("div", { class: "state" });
    const title = make("h3", { id: `example-${one.name}`, tabindex: -1 }, one.title);
    states[one.name] = { node: state, title, shown: "" };
    return make("article", { class: "card", "aria-labelledby": `example-${one.name}` },
      make("div", { class: "strip" }, make("img", { src: one.picture, alt: `Some pictures of the example ${one.title}` })),
      title, make("p", {}, one.words), state);
  }

  const link = (path, text) => make("a", { href: path }, text);

  function ready(one) {
    return make("p", { class: "links" }, link(`/generate?run=${one.run}`, "Generate images"),
      link(`/classify?run=${one.run}`, "Classify pictures"), link(`/runs/${one.run}`, "Read the report"));
  }

  // Whose work it is that is shown.
  function origin(one) {
    const { shipped } = one;
    if (!shipped) return make("p", { class: "meta" }, "Computed on this machine.");
    if (one.run !== shipped.run) {
      return make("p", { class: "meta" }, "Computed on this machine. ", link(`/compare?run=${one.run}&run=${shipped.run}`, "Compare"),
        " with the run that came with Synthlift.");
    }
    return make("p", { class: "meta" }, `Computed beforehand and delivered with Synthlift: on ${shipped.created.slice(0, 10)}, with version ${shipped.version}, in ${duration(shipped.cpu_seconds)} of processor time (${shipped.machine}), by `,
      make("code", {}, shipped.command), ".");
  }

  function begin(one, text) {
    const button = make("button", { type: "button", "aria-label": `${text}: ${one.title}` }, text);
    button.addEventListener("click", async () => {
      if (locked(button)) return;
      lock(button, true);
      try {
        await ask("POST", `examples/${one.name}`);
        watch();
      } catch (error) {
        say(find("said"), error.message, true);
        lock(button, false);
      }
    });
    return button;
  }

  const ACTIVE = ["queued", "running", "cancelling"];
  const active = (one) => one.unpacking || Boolean(one.job && ACTIVE.includes(one.job.state));

  function waiting(one) {
    const { job } = one;
    if (job.state === "queued") return [make("p", { class: "meta" }, "It is computed as soon as what runs before is done.")];
    const progress = job.progress;
    const bar = progress && progress.total
      ? make("progress", { max: progress.total, value: progress.done, "aria-label": `Being computed: ${one.title}` })
      : make("progress", { "aria-label": `Being computed: ${one.title}` });
    const since = job.started ? `, for ${duration(Date.now() / 1000 - job.started)}` : "";
    const stage = progress && progress.label ? `: ${progress.label}` : "";
    return [bar, make("p", { class: "meta" }, `Being computed on this machine${since}${stage}. `,
      link(`/jobs/${job.id}`, "Watch"))];
  }

  // What can be done to have it computed on this machine.
  function computing(one) {
    if (one.unpacking) return [make("p", { class: "meta" }, "Being unpacked; a few seconds, once.")];
    if (!one.job) return [begin(one, "Compute it here")];
    if (ACTIVE.includes(one.job.state)) return waiting(one);
    if (one.job.state === "done") return [];
    const failed = one.job.state === "failed";
    const text = failed ? one.job.error || "It failed." : "It was stopped; what is finished is kept.";
    return [make("p", { class: failed ? "fault" : "meta" }, text), begin(one, failed ? "Try again" : "Go on")];
  }

  function contents(one) {
    return [...(one.run ? [ready(one), origin(one)] : []), ...computing(one)];
  }

  let watching = false;

  async function watch() {
    if (watching) return;
    watching = true;
    try {
      for (;;) {
        const { examples } = await askAgain("examples");
        if (!find("examples").children.length) find("examples").append(...examples.map(card));
        for (const one of examples) {
          // Only what has changed is replaced.
          const news = JSON.stringify([one.run, one.unpacking, one.job && [one.job.state, one.job.progress]]);
          const { node, title, shown } = states[one.name];
          if (news !== shown) renew(node, contents(one), () => title);
          states[one.name].shown = news;
        }
        if (!examples.some(active)) break;
        await wait(document.hidden ? 4 * PAUSE : PAUSE);
      }
    } catch (error) {
      say(find("said"), error.message, true);
    }
    watching = false;
  }

  watch();
})();
