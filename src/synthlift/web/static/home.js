"use strict";
// The built-in examples: how far their studies are, and what can be done with them.
(() => {
  const { ask, say, make, duration, wait, find } = Synthlift;
  const PAUSE = 2000;
  const states = {};

  function card(one) {
    const state = make("div", { class: "state" });
    states[one.name] = { node: state, shown: "" };
    return make("article", { class: "card", "aria-labelledby": `example-${one.name}` },
      make("div", { class: "strip" }, make("img", { src: one.picture, alt: `Some pictures of the example ${one.title}` })),
      make("h3", { id: `example-${one.name}` }, one.title),
      make("p", {}, one.words), state);
  }

  function ready(one) {
    const link = (path, text) => make("a", { href: path }, text);
    return [make("p", { class: "links" }, link(`/generate?run=${one.run}`, "Generate images"),
      link(`/classify?run=${one.run}`, "Classify pictures"), link(`/runs/${one.run}`, "Read the report"))];
  }

  function begin(one, text) {
    const button = make("button", { type: "button", "aria-label": `${text}: ${one.title}` }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask("POST", `examples/${one.name}`);
        watch();
      } catch (error) {
        say(find("said"), error.message, true);
        button.disabled = false;
      }
    });
    return button;
  }

  function waiting(one) {
    const { job } = one;
    if (job.state === "queued") return [make("p", { class: "meta" }, "It is prepared as soon as what runs before is done.")];
    const progress = job.progress;
    const bar = progress && progress.total
      ? make("progress", { max: progress.total, value: progress.done, "aria-label": `Being prepared: ${one.title}` })
      : make("progress", { "aria-label": `Being prepared: ${one.title}` });
    const since = job.started ? `, for ${duration(Date.now() / 1000 - job.started)}` : "";
    const stage = progress && progress.label ? `: ${progress.label}` : "";
    return [bar, make("p", { class: "meta" }, `Being prepared${since}${stage}. It takes a few minutes, once. `,
      make("a", { href: `/jobs/${job.id}` }, "Watch"))];
  }

  function contents(one) {
    if (one.run) return ready(one);
    if (!one.job) return [begin(one, "Prepare it")];
    if (["queued", "running", "cancelling"].includes(one.job.state)) return waiting(one);
    const failed = one.job.state === "failed";
    const text = failed ? one.job.error || "It failed." : "It was stopped; what is finished is kept.";
    return [make("p", { class: failed ? "fault" : "meta" }, text), begin(one, failed ? "Try again" : "Go on")];
  }

  let watching = false;

  async function watch() {
    if (watching) return;
    watching = true;
    try {
      for (;;) {
        const { examples } = await ask("GET", "examples");
        if (!find("examples").children.length) find("examples").append(...examples.map(card));
        for (const one of examples) {
          // Only what has changed is replaced, so that the focus stays where it is.
          const news = one.run || JSON.stringify(one.job && [one.job.state, one.job.progress]);
          if (news !== states[one.name].shown) states[one.name].node.replaceChildren(...contents(one));
          states[one.name].shown = news;
        }
        if (examples.every((one) => one.run || !one.job || !["queued", "running", "cancelling"].includes(one.job.state))) break;
        await wait(document.hidden ? 4 * PAUSE : PAUSE);
      }
    } catch (error) {
      say(find("said"), error.message, true);
    }
    watching = false;
  }

  watch();
})();
