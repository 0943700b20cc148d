"use strict";
(() => {
  const { ask, say, find } = Synthlift;
  find("demo").addEventListener("click", async () => {
    find("demo").disabled = true;
    try {
      const job = await ask("POST", "demo");
      location.assign(`/jobs/${job.id}`);
    } catch (error) {
      say(find("said"), error.message, true);
      find("demo").disabled = false;
    }
  });
})();
