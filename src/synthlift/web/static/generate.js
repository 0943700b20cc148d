"use strict";
(() => {
  const { ask, askAgain, say, make, fill, nearest, unlike, percent, duration, wait, find, several, size, wanted, named, tooLarge, takeFiles, offerSamples, keepFocus, reveal, lock, locked } = Synthlift;
  const PAUSE = 400;
  const LOOK_AGAIN = 3000;
  const EXAMPLES = { embedded: "a thick red seven leaning left on a black background" };
  const EXAMPLE = "a photograph of a red fox in the snow";
  let runs = [];
  let models = [];  // those that draw without a study
  let drawing = null;
  let chosen = null;  // the picture to start from: {url, words, file} or {url, words, sample}

  const run = () => runs.find((one) => one.id === find("run").value);
  const model = () => models.find((one) => valueOf(one) === find("run").value);
  const valueOf = (one) => `model:${one.name}`;
  const generator = () => (model() ? { ...model(), classes: [], attributes: {}, takes_prompts: true, refuses_pictures: "" }
    : run().generators.find((one) => one.name === find("generator").value));

  function showRun() {
    find("of-study").hidden = Boolean(model());
    if (!model()) fill(find("generator"), run().generators.map((one) => [one.name, `${one.name} (${one.kind.replaceAll("_", " ")})`]));
    if (chosen && !chosen.file) choose(null);
    offerSamples(model() ? [] : run().samples, "Take a picture of class", (sample) => {
      choose({ url: sample.url, words: `a picture of class ${sample.label}`, sample: sample.index });
    });
    showGenerator();
  }

  const choose = (picture) => {
    if (chosen && chosen.file) URL.revokeObjectURL(chosen.url);
    chosen = picture;
    find("chosen").replaceChildren(...(picture ? [thumbnail(picture), make("span", {}, `Chosen: ${picture.words}.`)] : []));
  };

  function bring(file) {
    if (tooLarge([file], find("picture"))) {
      say(find("said"), `${file.name} is too large.\nThe rule: a picture has at most ${size(find("picture").dataset.most)}.\nChoose a smaller one.`, true);
      return;
    }
    choose({ url: URL.createObjectURL(file), words: file.name, file });
  }

  // A file that no browser can show may still be one that the server reads.
  function thumbnail(picture) {
    const image = make("img", { src: picture.url, alt: "" });
    image.addEventListener("error", () => { image.hidden = true; });
    return image;
  }

  function showStrength() {
    const share = Number(find("strength").value);
    const words = share < 0.35 ? "mostly the picture as it is" : share < 0.65 ? "its layout stays, details are new"
      : share < 1 ? "only a trace of it stays" : "nothing of it stays";
    find("strength-words").textContent = `${Math.round(100 * share)} %: ${words}.`;
  }

  function showOrigin() {
    const refused = generator().refuses_pictures;
    find("origin").querySelector('[value="picture"]').disabled = refused !== "";
    if (refused) find("origin").value = "";
    find("origin-help").textContent = refused ? `${refused[0].toUpperCase()}${refused.slice(1)}.`.replaceAll("_", " ") : "";
    find("from").hidden = find("origin").value === "";
  }

  function showGenerator() {
    const one = generator();
    showOrigin();
    fill(find("label"), one.classes.map((name) => [name, name]), find("label").value);
    find("attributes").replaceChildren(...Object.entries(one.attributes).map(([name, values]) => {
      const id = `attribute-${name}`;
      const select = make("select", { id, "data-attribute": name });
      fill(select, [["", "any"], ...values.map((value) => [value, value])]);
      return make("p", {}, make("label", { for: id }, name), select);
    }));
    find("more").hidden = Object.keys(one.defaults).length === 0;
    adjust(find("guidance"), "guidance_scale");
    adjust(find("steps"), "sampler_steps");
    showWords();
  }

  function adjust(input, name) {
    const usual = generator().defaults[name];
    const [low, high] = generator().limits[name] || [0, 0];
    input.min = low;
    input.max = Math.max(high, usual || 0);
    input.value = usual === undefined ? "" : usual;
  }

  function showWords() {
    const takes = generator().takes_prompts;
    find("words").hidden = find("avoid-words").hidden = !takes;
    find("prompt").required = Boolean(model());
    find("prompt").placeholder = model() ? EXAMPLES[model().name] || EXAMPLE : "";
    const attributes = Object.keys(generator().attributes);
    const said = attributes.length ? ` They take the place of ${attributes.join(" and ")}, too.` : "";
    const licence = model() && model().licence ? `Licence of the model: ${model().licence}.` : "";
    find("prompt-help").textContent = model() ? ["What the pictures show.", model().about, licence].filter(Boolean).join(" ")
      : `Empty: the study’s own words for the class. The class stays what the pictures are judged as.${said}`;
    for (const select of find("attributes").querySelectorAll("select")) select.disabled = takes && words("prompt") !== null;
  }

  const words = (id) => (generator().takes_prompts && find(id).value.trim()) || null;

  function wish() {
    const attributes = {};
    for (const select of find("attributes").querySelectorAll("select")) {
      if (select.value) attributes[select.dataset.attribute] = select.value;
    }
    const number = (id, name) => (find(id).value === "" || Number(find(id).value) === generator().defaults[name] ? null : Number(find(id).value));
    const how = {
      prompt: words("prompt"), negative_prompt: words("avoid"),
      seed: Number(find("seed").value), count: Number(find("count").value),
      guidance: number("guidance", "guidance_scale"), steps: number("steps", "sampler_steps"), start: start(),
    };
    if (model()) return { model: model().name, ...how };
    return { run: run().id, generator: generator().name, label: find("label").value, attributes: how.prompt ? {} : attributes, ...how };
  }

  function start() {
    if (!find("origin").value) return null;
    if (!chosen) throw new Error("No picture is chosen yet.\nChoose one under “Start from”, or start from no picture.");
    return { strength: Number(find("strength").value), ...(chosen.file ? {} : { sample: chosen.sample }) };
  }

  function begin(asked) {
    if (!asked.start || asked.start.sample !== undefined) return ask("POST", "generations", asked);
    const form = new FormData();
    form.append("wish", JSON.stringify(asked));
    form.append("picture", chosen.file, "picture");  // what it is called stays here
    return ask("POST", "variations", form);
  }

  function showStart(asked) {
    const words = asked.start ? `All start from ${chosen.words}; ${Math.round(100 * asked.start.strength)} % may change.` : "";
    find("started").hidden = !asked.start;
    find("started").replaceChildren(...(asked.start ? [thumbnail(chosen), make("span", {}, words)] : []));
  }

  function picture(image, asked) {
    const label = asked.label || asked.model;
    const facts = make("dl", { class: "facts" });
    for (const [name, value] of Object.entries(image.facts)) {
      facts.append(make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, value));
    }
    const caption = make("figcaption", {}, make("span", { class: "mark" }, "synthetic"), " ");
    if (image.seen) {
      const same = image.seen.label === asked.label;
      caption.append(make("span", { class: same ? false : "other" },
        `seen as ${image.seen.label}, ${percent(image.seen.probability)}`));
    }
    if (image.near) caption.append(nearest(image.near, image.near.url, unlike(image.near)));
    const save = make("a", { href: image.url, download: `synthetic-${label}-${image.index}.png` }, "Save the picture");
    caption.append(make("details", {}, make("summary", {}, "Where from"), facts, save));
    const alt = `Synthetic image ${image.index + 1} of ${subject(asked)}`;
    return make("li", {}, make("figure", {},
      make("div", { class: "frame" }, make("img", { src: image.url, alt })), caption));
  }

  function busy(is) {
    lock(find("go"), is);
    keepFocus(() => { find("cancel").hidden = find("progress").hidden = !is; }, () => find("go"));
  }

  const subject = (asked) => [asked.label ? `class ${asked.label}` : "", asked.prompt ? `“${asked.prompt}”` : ""].filter(Boolean).join(", ");

  function told(state) {
    if (state.state === "failed") return [state.error.given, state.error.remedy].filter(Boolean).join("\n");
    const count = several(state.done, "image", "images");
    if (state.state === "running") {
      if (!state.done) return "The generator is being loaded …";
      const left = state.seconds_left ? `, about ${duration(state.seconds_left)} left` : "";
      return `${state.done} of ${state.total}${left}`;
    }
    if (state.state === "cancelled") return `Stopped after ${count}.`;
    if (!state.done) return `The generator can make no image of ${subject(state.request)}. Choose another one.`;
    const fewer = state.done < state.total ? " The generator can make no more of it." : "";
    return `${count} of ${subject(state.request)}, seed ${state.request.seed}.${fewer}`;
  }

  // Images come as they are finished; true when all have come, false when the page must ask itself.
  function listen(shown, take) {
    return new Promise((done) => {
      const source = new EventSource(`/api/v1/generations/${drawing}/events?after=${shown}`);
      source.onmessage = (event) => {
        const state = JSON.parse(event.data);
        take(state);
        if (state.state === "running") return;
        source.close();
        done(true);
      };
      source.onerror = () => {
        source.close();
        done(false);
      };
    });
  }

  async function draw(event) {
    event.preventDefault();
    if (locked(find("go"))) return;
    let asked;
    try {
      asked = wish();
    } catch (error) {
      say(find("said"), error.message, true);
      return;
    }
    let shown = 0;
    let last = null;
    const take = (state) => {
      find("images").append(...state.images.map((image) => picture(image, asked)));
      shown += state.images.length;
      find("progress").value = state.done / state.total;
      const notes = state.remarks.map((one) => `Note: ${one}.`);
      say(find("said"), [told(state), ...notes].join("\n"), state.state === "failed");
      if (!last || !last.done) reveal(find("images"));
      last = state;
    };
    find("images").replaceChildren();
    find("after").hidden = true;
    showStart(asked);
    busy(true);
    try {
      const first = await begin(asked);
      drawing = first.id;
      take(first);
      let ended = await listen(shown, take);
      while (!ended) {
        await wait(PAUSE);
        take(await askAgain(`generations/${drawing}?after=${shown}`));
        ended = last.state !== "running";
      }
      find("archive").href = last.archive;
      find("after").hidden = last.done === 0;
    } catch (error) {
      say(find("said"), error.message, true);
    }
    drawing = null;
    busy(false);
  }

  async function open() {
    try {
      models = (await ask("GET", "models")).models;
      runs = await studies();
    } catch (error) {
      find("none").hidden = false;
      say(find("none"), error.message, true);
      return;
    }
    offer(wanted("model") ? `model:${wanted("model")}` : wanted("run"));
    find("work").hidden = false;
    showRun();
    showStrength();
    find("run").addEventListener("change", showRun);
    find("generator").addEventListener("change", showGenerator);
    find("origin").addEventListener("change", showOrigin);
    find("prompt").addEventListener("input", showWords);
    find("strength").addEventListener("input", showStrength);
    takeFiles(find("drop"), find("picture"), ([file]) => { if (file) bring(file); });
    find("wish").addEventListener("submit", draw);
    find("cancel").addEventListener("click", () => {
      if (drawing) ask("DELETE", `generations/${drawing}`).catch((error) => say(find("said"), error.message, true));
    });
    await awaitStudies();
  }

  const studies = async () => (await ask("GET", "runs")).runs.filter((one) => one.generators.length > 0);

  // Studies first; then models that draw without one.
  function offer(value) {
    const select = find("run");
    fill(select, runs.map((one) => [one.id, named(one)]), value);
    const group = make("optgroup", { label: "Without a study" });
    for (const one of models) {
      const option = make("option", { value: valueOf(one) }, one.title);
      option.selected = valueOf(one) === value;
      group.append(option);
    }
    select.append(group);
  }

  // The examples may still be on their way; what is chosen meanwhile stays chosen.
  async function awaitStudies() {
    while (!runs.length) {
      find("none").hidden = false;
      await wait(LOOK_AGAIN);
      runs = await studies().catch(() => []);
      if (runs.length) offer(find("run").value);
    }
    find("none").hidden = true;
  }

  open();
})();
