"use strict";
(() => {
  const { ask, say, make, fill, nearest, percent, duration, wait, find, several, offerRuns, takeFiles, offerSamples } = Synthlift;
  const PAUSE = 400;
  let runs = [];
  let drawing = null;
  let chosen = null;  // the picture to start from: {url, words, file} or {url, words, sample}

  const run = () => runs.find((one) => one.id === find("run").value);
  const generator = () => run().generators.find((one) => one.name === find("generator").value);

  function showRun() {
    fill(find("generator"), run().generators.map((one) => [one.name, `${one.name} (${one.kind.replaceAll("_", " ")})`]));
    if (chosen && !chosen.file) choose(null);
    offerSamples(run().samples, "Take a picture of class", (sample) => {
      choose({ url: sample.url, words: `a picture of class ${sample.label}`, sample: sample.index });
    });
    showGenerator();
  }

  const choose = (picture) => {
    if (chosen && chosen.file) URL.revokeObjectURL(chosen.url);
    chosen = picture;
    find("chosen").replaceChildren(...(picture ? [thumbnail(picture), make("span", {}, `Chosen: ${picture.words}.`)] : []));
  };

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
    const adjustable = Object.keys(one.defaults).length > 0;
    find("more").hidden = !adjustable;
    find("guidance").value = adjustable ? one.defaults.guidance_scale : "";
    find("steps").value = adjustable ? one.defaults.sampler_steps : "";
  }

  function wish() {
    const attributes = {};
    for (const select of find("attributes").querySelectorAll("select")) {
      if (select.value) attributes[select.dataset.attribute] = select.value;
    }
    const number = (id) => (find("more").hidden || find(id).value === "" ? null : Number(find(id).value));
    return {
      run: run().id, generator: generator().name, label: find("label").value, attributes,
      seed: Number(find("seed").value), count: Number(find("count").value),
      guidance: number("guidance"), steps: number("steps"), start: start(),
    };
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

  function remark(near) {
    if (near.near_copy) return "nearly a copy of it";
    if (near.unusual >= 0.99) return "hardly any real picture is as unusual";
    return near.unusual >= 0.9 ? `more unusual than ${Math.floor(100 * near.unusual)} % of real pictures` : "";
  }

  function picture(image, label) {
    const facts = make("dl", { class: "facts" });
    for (const [name, value] of Object.entries(image.facts)) {
      facts.append(make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, value));
    }
    const caption = make("figcaption", {}, make("span", { class: "mark" }, "synthetic"), " ");
    if (image.seen) {
      const same = image.seen.label === label;
      caption.append(make("span", { class: same ? false : "other" },
        `seen as ${image.seen.label}, ${percent(image.seen.probability)}`));
    }
    if (image.near) caption.append(nearest(image.near, image.near.url, remark(image.near)));
    const save = make("a", { href: image.url, download: `synthetic-${label}-${image.index}.png` }, "Save the picture");
    caption.append(make("details", {}, make("summary", {}, "Where from"), facts, save));
    const alt = `Synthetic image ${image.index + 1} of class ${label}`;
    return make("li", {}, make("figure", {},
      make("div", { class: "frame" }, make("img", { src: image.url, alt })), caption));
  }

  function busy(is) {
    find("go").disabled = is;
    find("cancel").hidden = !is;
    find("progress").hidden = !is;
  }

  function words(state) {
    if (state.state === "failed") return [state.error.given, state.error.remedy].filter(Boolean).join("\n");
    const count = several(state.done, "image", "images");
    if (state.state === "running") {
      if (!state.done) return "The generator is being loaded …";
      const left = state.seconds_left ? `, about ${duration(state.seconds_left)} left` : "";
      return `${state.done} of ${state.total}${left}`;
    }
    if (state.state === "cancelled") return `Stopped after ${count}.`;
    if (!state.done) return `The generator can make no image of class ${state.request.label}. Choose another one.`;
    const fewer = state.done < state.total ? " The generator can make no more of it." : "";
    return `${count} of class ${state.request.label}, seed ${state.request.seed}.${fewer}`;
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
      find("images").append(...state.images.map((image) => picture(image, asked.label)));
      shown += state.images.length;
      find("progress").value = state.done / state.total;
      say(find("said"), words(state), state.state === "failed");
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
        take(await ask("GET", `generations/${drawing}?after=${shown}`));
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
    runs = await offerRuns((one) => one.generators.length > 0);
    if (!runs.length) return;
    showRun();
    showStrength();
    find("run").addEventListener("change", showRun);
    find("generator").addEventListener("change", showGenerator);
    find("origin").addEventListener("change", showOrigin);
    find("strength").addEventListener("input", showStrength);
    takeFiles(find("drop"), find("picture"), ([file]) => {
      if (file) choose({ url: URL.createObjectURL(file), words: file.name, file });
    });
    find("wish").addEventListener("submit", draw);
    find("cancel").addEventListener("click", () => {
      if (drawing) ask("DELETE", `generations/${drawing}`).catch((error) => say(find("said"), error.message, true));
    });
  }

  open();
})();
