"use strict";
(() => {
  const { ask, say, make, pictureOf, replace, nearest, percent, find, several, offerRuns, size, tooLarge, takeFiles, offerSamples, reveal } = Synthlift;
  const SHOWN = 5;
  let runs = [];
  let latest = 0;  // the question that counts

  const run = () => runs.find((one) => one.id === find("run").value);

  function showRun() {
    latest += 1;
    find("classes").textContent = `It knows: ${run().classes.join(", ")}.`;
    offerSamples(run().samples, "Try a picture of class", trySample);
    replace(find("answers"));
    say(find("said"), "");
  }

  // Both models' rows stand in one order, so that they can be compared.
  function order(picture) {
    const best = {};
    for (const answer of picture.answers) {
      for (const [name, share] of Object.entries(answer.probabilities)) best[name] = Math.max(best[name] || 0, share);
    }
    return Object.keys(best).sort((a, b) => best[b] - best[a]).slice(0, SHOWN);
  }

  function view(answer, model, names) {
    const rows = names.map((name) => {
      const share = answer.probabilities[name];
      return make("tr", {}, make("th", { scope: "row" }, name),
        make("td", {}, make("meter", { min: 0, max: 1, value: share, "aria-hidden": "true" })),
        make("td", {}, percent(share)));
    });
    return make("section", { class: answer.role },
      make("h3", {}, `Model ${model.title}`),
      make("p", { class: "says" }, `${answer.label}, ${percent(answer.probability)}`),
      ...(answer.map ? [make("img", { class: "map", src: pictureOf(answer.map), alt: `Where this model saw ${answer.label}: the bright places count most` })] : []),
      make("table", { class: "chances" }, make("tbody", {}, ...rows)));
  }

  function standing(near) {
    if (near.near_copy) return "The models learnt from this very picture, or nearly so: that they know it says little.";
    const share = Math.round(100 * near.unusual);
    if (near.unusual >= 0.99) return "Hardly any real picture is as unusual as this one: do not rely on the answers.";
    if (near.unusual >= 0.9) return `Unusual: only ${100 - share} of 100 real pictures are more so.`;
    return `Not unusual: ${100 - share} of 100 real pictures are more so.`;
  }

  function show(found, urls) {
    const items = found.pictures.map((picture, place) => {
      const image = make("img", { src: urls[place], alt: picture.name });
      image.addEventListener("error", () => { image.hidden = true; });
      const frame = make("div", { class: "frame" }, image, picture.name);
      if (picture.near) frame.append(nearest(picture.near, pictureOf(picture.near.picture)), make("p", {}, standing(picture.near)));
      const names = order(picture);
      const views = picture.problem
        ? make("p", { class: "fault" }, `This cannot be used: ${picture.problem}`)
        : make("div", { class: "views" }, ...picture.answers.map((answer, i) => view(answer, found.models[i], names)));
      return make("li", {}, frame, views);
    });
    replace(find("answers"), ...items);
    say(find("said"), `${several(items.length, "picture", "pictures")} classified.`);
    reveal(find("answers"));
  }

  // An answer about another study, or to an earlier question, is no answer to what is asked now.
  async function classify(request, urls) {
    const mine = latest += 1;
    say(find("said"), "Looking …");
    try {
      const found = await request();
      if (mine === latest) show(found, urls);
      else urls.forEach(URL.revokeObjectURL);
    } catch (error) {
      urls.forEach(URL.revokeObjectURL);
      if (mine !== latest) return;
      replace(find("answers"));
      say(find("said"), error.message, true);
    }
  }

  function trySample(sample) {
    classify(() => ask("POST", `runs/${run().id}/sample-classifications`, { samples: [sample.index], explain: true }), [sample.url]);
  }

  function tryFiles(files) {
    if (!files.length) return;
    if (tooLarge(files, find("pictures"))) {
      latest += 1;
      replace(find("answers"));
      say(find("said"), `Together these are too large.\nThe rule: pictures that are sent at once have at most ${size(find("pictures").dataset.most)}.\nSend fewer of them.`, true);
      return;
    }
    const form = new FormData();
    form.append("explain", "true");
    for (const file of files) form.append("pictures", file);
    classify(() => ask("POST", `runs/${run().id}/classifications`, form), [...files].map((file) => URL.createObjectURL(file)));
  }

  function listen() {
    find("run").addEventListener("change", showRun);
    find("wish").addEventListener("submit", (event) => event.preventDefault());
    takeFiles(find("drop"), find("pictures"), tryFiles);
  }

  async function start() {
    runs = await offerRuns((one) => one.models.length > 0);
    if (!runs.length) return;
    listen();
    showRun();
  }

  start();
})();
