"use strict";
(() => {
  const { ask, say, make, percent, who, find, several, keepFocus } = Synthlift;
  const run = find("begin").dataset.run;
  let test = null;
  let answers = [];
  let name = "";
  let busy = false;

  async function begin(event) {
    event.preventDefault();
    if (busy) return;
    name = find("who").value.trim();
    if (!name) {
      say(find("said"), "Say first who you are: the score stands beside a name.", true);
      find("who").focus();
      return;
    }
    who(name);
    say(find("said"), "Drawing the pictures …");
    find("result").hidden = true;
    busy = true;
    try {
      test = await ask("POST", `runs/${run}/blind-tests`, { generator: find("generator").value, pictures: Number(find("count").value) });
    } catch (error) {
      say(find("said"), error.message, true);
      return;
    } finally {
      busy = false;
    }
    say(find("said"), "");
    answers = [];
    find("begin").hidden = true;
    find("test").hidden = false;
    showPicture();
    find("real").focus();
  }

  function showPicture() {
    const place = answers.length;
    find("test-title").textContent = `Picture ${place + 1} of ${test.pictures.length}`;
    find("picture").src = test.pictures[place];
    find("progress").value = place / test.pictures.length;
    keepFocus(() => { find("back").hidden = place === 0; }, () => find("real"));
  }

  function answer(said) {
    if (!test || answers.length === test.pictures.length) return;
    answers.push(said);
    if (answers.length < test.pictures.length) showPicture();
    else finish();
  }

  // What was answered stays until it has arrived: sent twice, it counts once.
  async function finish() {
    let found;
    say(find("said"), "Counting, and writing the score into the report …");
    keepFocus(() => { find("test").hidden = find("unsent").hidden = true; }, () => find("said"));
    try {
      found = await ask("POST", `blind-tests/${test.id}/answers`, { who: name, answers });
    } catch (error) {
      say(find("said"), error.message, true);
      find("unsent").hidden = false;
      find("again").focus();
      return;
    }
    say(find("said"), "");
    test = null;
    find("begin").hidden = false;
    showResult(found);
  }

  function showResult(found) {
    const count = found.pictures.length;
    find("score").textContent = `${found.right} of ${several(count, "picture", "pictures")} right: ${percent(found.share)}, 95 % interval ${(100 * found.low).toFixed(1)} to ${(100 * found.high).toFixed(1)} %.`;
    const guess = "Someone who guesses is right in half of them.";
    find("meaning").textContent = found.low > 0.5 ? `${guess} You can tell them apart better than that.`
      : found.high < 0.5 ? `${guess} You were right less often: you saw a difference and took it the wrong way round.`
        : `${guess} Your score does not show that you can tell them apart, and does not show that you cannot.`;
    find("report").href = found.report;
    find("pictures").replaceChildren(...found.pictures.map((one, place) => make("li", { class: "judged", "data-verdict": one.was === one.said ? "keep" : "reject" },
      make("figure", {}, make("div", { class: "frame" }, make("img", { src: one.url, alt: `Picture ${place + 1}, ${one.was}, class ${one.label}`, loading: "lazy" })),
        make("figcaption", {}, one.was === "synthetic" ? make("span", { class: "mark" }, "synthetic") : "real", ` ${one.label}`,
          make("span", { class: one.was === one.said ? "seen" : "seen other" }, one.was === one.said ? "told rightly" : `taken for ${one.said}`))))));
    find("result").hidden = false;
    find("result-title").focus({ preventScroll: true });
    find("result-title").scrollIntoView();
  }

  find("who").value = who();
  find("begin").addEventListener("submit", begin);
  find("real").addEventListener("click", () => answer("real"));
  find("synthetic").addEventListener("click", () => answer("synthetic"));
  find("again").addEventListener("click", finish);
  find("back").addEventListener("click", () => { answers.pop(); showPicture(); });
  document.addEventListener("keydown", (event) => {
    if (find("test").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "r") answer("real");
    if (event.key === "s") answer("synthetic");
  });
})();
