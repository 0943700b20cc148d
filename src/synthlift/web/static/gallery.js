"use strict";
(() => {
  const { ask, say, make, fill, who, find, several } = Synthlift;
  const run = find("filters").dataset.run;
  const SAID = { keep: "kept", reject: "rejected", withdrawn: "verdict taken back" };
  const FILTERS = ["state", "label", "reason", "arm"];
  const SHOWN = 60;
  let start = 0;
  let latest = 0;

  const words = (name) => name.replaceAll("_", " ");

  function caption(image) {
    const parts = [make("span", { class: "mark" }, "synthetic"), ` ${image.label}`];
    if (image.kept) parts.push(make("span", { class: "seen" }, "kept by the filters"));
    else parts.push(make("span", { class: "seen other" }, `${words(image.rejected_by)}${image.reason ? `: ${image.reason}` : ""}`));
    if (image.by_hand) {
      parts.push(make("span", { class: "seen by-hand" }, `${SAID[image.by_hand.verdict]} by ${image.by_hand.who}, ${image.by_hand.at.slice(0, 10)}`));
    }
    const scores = make("dl", { class: "facts" });
    for (const [name, value] of Object.entries(image.scores)) {
      scores.append(make("dt", {}, words(name)), make("dd", {}, value.toFixed(3)));
    }
    parts.push(make("details", {}, make("summary", {}, "Scores"), scores));
    return make("figcaption", {}, ...parts);
  }

  function button(image, verdict, text) {
    const made = make("button", { type: "button", "aria-label": `${text}: generated image ${image.row + 1}` }, text);
    made.addEventListener("click", () => judge(image, verdict));
    return made;
  }

  function picture(image) {
    const counts = image.by_hand ? image.by_hand.verdict === "keep" : image.kept;
    const buttons = make("p", { class: "buttons small" });
    if (counts) buttons.append(button(image, "reject", "Reject"));
    else if (!image.copy_found) buttons.append(button(image, "keep", "Keep"));
    if (image.by_hand) buttons.append(button(image, "withdrawn", "Undo"));
    if (!counts && image.copy_found && !image.by_hand) buttons.append("Copies stay out.");
    const alt = `Synthetic image ${image.row + 1} of class ${image.label}`;
    return make("li", { class: "judged", "data-row": image.row, "data-verdict": counts ? "keep" : "reject" },
      make("figure", {}, make("div", { class: "frame" }, make("img", { src: image.url, alt, loading: "lazy" })), caption(image), buttons));
  }

  async function judge(image, verdict) {
    const name = find("who").value.trim();
    if (!name) {
      say(find("said"), "Say first who you are: a verdict stands beside a name.", true);
      find("who").focus();
      return;
    }
    who(name);
    try {
      const place = [...find("images").children].findIndex((one) => one.contains(document.activeElement));
      await ask("POST", `runs/${run}/verdicts`, { row: image.row, verdict, who: name });
      await show(`Image ${image.row + 1}: ${SAID[verdict]}.`, () => refocus(image.row, place));
    } catch (error) {
      say(find("said"), error.message, true);
    }
  }

  // The list is new: the focus goes to the same picture, or to that in its place.
  function refocus(row, place) {
    const items = [...find("images").children];
    const item = items.find((one) => one.dataset.row === String(row)) || items[Math.min(place, items.length - 1)];
    const button = item && item.querySelector("button");
    if (button) button.focus();
    else find("state").focus();
  }

  function offer(found) {
    const chosen = (id) => find(id).value;
    fill(find("label"), [["", "all"], ...found.classes.map((name) => [name, name])], chosen("label"));
    fill(find("reason"), [["", "any reason"], ...Object.entries(found.reasons).map(([name, n]) => [name, `${words(name)} (${n.toLocaleString("en")})`])], chosen("reason"));
    fill(find("arm"), [["", "any or none"], ...found.arms.map((name) => [name, name])], chosen("arm"));
  }

  // Of several questions only the latest is answered. "renewed" is called as soon as the new list
  // stands, before anything else is waited for.
  async function show(words_first = "", renewed = () => {}) {
    const asked = new URLSearchParams({ start });
    for (const id of FILTERS) if (find(id).value) asked.set(id, find(id).value);
    const mine = latest += 1;
    const found = await ask("GET", `runs/${run}/generated?${asked}`);
    if (mine !== latest) return;
    offer(found);
    find("images").replaceChildren(...found.images.map(picture));
    const place = found.found ? `, ${start + 1} to ${start + found.images.length} shown` : "";
    say(find("said"), [words_first, `${several(found.found, "image", "images")} of ${found.all.toLocaleString("en")}${place}.`].filter(Boolean).join(" "));
    find("earlier").hidden = start === 0;
    find("later").hidden = start + found.images.length >= found.found;
    renewed();
    await showRecord();
  }

  async function showRecord() {
    const verdicts = (await ask("GET", `runs/${run}/verdicts`)).verdicts;
    find("no-record").hidden = verdicts.length > 0;
    find("record").replaceChildren(...verdicts.slice(0, 100).map((one) => make("li", {},
      make("span", {}, `${one.image}: ${SAID[one.verdict]}`), make("span", { class: "meta" }, `${one.who} · ${new Date(one.at).toLocaleString()}`))));
  }

  async function look(place, renewed) {
    start = place;
    try {
      await show("", renewed);
    } catch (error) {
      find("images").replaceChildren();
      say(find("said"), error.message, true);
    }
  }

  find("who").value = who();
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const id of FILTERS) find(id).addEventListener("change", () => look(0));
  // The next pictures are read from their beginning, which is far above the buttons.
  const fromTheTop = () => find("said").focus();
  find("earlier").addEventListener("click", () => look(Math.max(0, start - SHOWN), fromTheTop));
  find("later").addEventListener("click", () => look(start + SHOWN, fromTheTop));
  look(0);
})();
