"use strict";
(() => {
  const { ask, say, make, duration, wait, find } = Synthlift;
  const id = find("job").dataset.job;
  const WORDS = { queued: "Waiting for its turn", running: "Running", cancelling: "Stopping; what is finished is kept",
    done: "Done", failed: "It failed", cancelled: "Stopped; what is finished is kept" };

  function show(job) {
    find("state").textContent = WORDS[job.state];
    const progress = job.progress;
    const known = progress && progress.total;
    find("progress").hidden = !known;
    if (known) find("progress").value = progress.done / progress.total;
    find("stage").textContent = known
      ? [`${progress.label}: ${progress.done} of ${progress.total}`,
        progress.seconds_left ? `about ${duration(progress.seconds_left)} left of this stage` : "",
        progress.seconds ? `running for ${duration(progress.seconds)}` : ""].filter(Boolean).join(" · ")
      : job.state === "running" ? "Getting ready …" : "";
    const tasks = (progress && progress.tasks) || [];
    find("tasks").replaceChildren(...tasks.map((task) => make("li", {}, `${task.label}: ${task.done} of ${task.total}`)));
    find("error").hidden = !job.error;
    find("error").textContent = job.error;
    find("cancel").hidden = !["queued", "running"].includes(job.state);
    find("resume").hidden = !["failed", "cancelled"].includes(job.state);
    find("open").hidden = !job.run;
    if (job.run) find("open").href = `/runs/${job.run}`;
    const frame = find("page").querySelector("iframe");
    const ready = job.page && !job.run;
    if (ready && !frame.src) frame.src = frame.dataset.src;
    find("page").hidden = !ready;
  }

  async function watch() {
    for (;;) {
      try {
        const job = await ask("GET", `jobs/${id}`);
        show(job);
        if (["done", "failed", "cancelled"].includes(job.state)) return;
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

  find("cancel").addEventListener("click", () => act("cancel"));
  find("resume").addEventListener("click", () => act("resume"));
  watch();
})();
