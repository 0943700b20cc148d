"use strict";
// What every page needs: asking the server, saying what went wrong, making elements.
const Synthlift = (() => {
  // What the server says before a word of the application is reached.
  const BEFORE = { 413: { given: "That is too large for this server.", remedy: "Send smaller or fewer files." } };
  const AROUND = 1024;  // bytes of a form beside those of a file
  const header = document.querySelector('meta[name="client-header"]').content;

  async function ask(method, path, body) {
    const options = { method, headers: { [header]: "pages" } };
    if (body instanceof FormData) {
      options.body = body;
    } else if (body !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(path.startsWith("/") ? path : `/api/v1/${path}`, options);
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    const answer = await response.json().catch(() => ({}));
    if (response.status === 401) {  // it has another token since it was started anew, say
      location.assign("/login?again=1");
      throw Object.assign(new Error("The server asks for its token again."), { final: true });
    }
    if (!response.ok) {
      const wrong = answer.error || BEFORE[response.status] || {};
      const rule = wrong.rule ? `The rule: ${wrong.rule}.` : "";
      const wait = response.headers.get("Retry-After");
      const later = wait ? `Try again in ${wait} seconds.` : wrong.remedy;
      const error = new Error([wrong.given || "Something went wrong.", rule, later].filter(Boolean).join("\n"));
      error.final = response.status < 500 && response.status !== 429;
      throw error;
    }
    return answer;
  }

  // Asks again after an answer that did not come: one that is lost must not end what a page follows.
  const TRIES = 6;

  async function askAgain(path) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await ask("GET", path);
      } catch (error) {
        if (error.final || tried === TRIES) throw error;
        await wait(500 * tried);
      }
    }
  }

  function say(node, text, fault = false) {
    node.textContent = text;
    node.classList.toggle("fault", fault && text !== "");
  }

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  // A picture that came within an answer.
  function pictureOf(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  }

  // Put other children into a node; the browser forgets pictures that lay in it alone.
  function replace(node, ...children) {
    const gone = [...node.querySelectorAll("img")].map((image) => image.src);
    node.replaceChildren(...children);
    const kept = new Set([...document.images].map((image) => image.src));
    for (const url of gone) if (url.startsWith("blob:") && !kept.has(url)) URL.revokeObjectURL(url);
  }

  // The real image that a picture is most like; remark = what else to say of it, if anything.
  function nearest(near, url, remark) {
    const text = make("span", {}, `nearest training picture: ${near.label}`);
    if (remark) text.append("; ", make("span", { class: "other" }, remark));
    return make("p", { class: "near" }, make("img", { src: url, alt: "" }), text);
  }

  // What is odd about how like the nearest one a drawn picture is.
  function unlike(near) {
    if (near.near_copy) return "nearly a copy of it";
    if (near.unusual >= 0.99) return "hardly any real picture is as unusual";
    return near.unusual >= 0.9 ? `more unusual than ${Math.floor(100 * near.unusual)} % of real pictures` : "";
  }

  // Whether files are more than one request may hold; the input that they come from says how much that is.
  const tooLarge = (files, input) => [...files].reduce((sum, one) => sum + one.size + AROUND, 0) > Number(input.dataset.most);

  // Files that are chosen, or dropped on the area around the button.
  function takeFiles(area, input, take) {
    input.addEventListener("change", () => { take(input.files); input.value = ""; });
    for (const name of ["dragenter", "dragover"]) {
      area.addEventListener(name, (event) => { event.preventDefault(); area.classList.add("over"); });
    }
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over");
      take(event.dataTransfer.files);
    });
  }

  // A study's own pictures as buttons; words = what pressing one does.
  function offerSamples(samples, words, take) {
    find("samples").hidden = samples.length === 0;
    find("sample-list").replaceChildren(...samples.map((sample) => {
      const name = `${words} ${sample.label}`;
      const button = make("button", { type: "button", "aria-label": name, title: name }, make("img", { src: sample.url, alt: "" }));
      button.addEventListener("click", () => take(sample));
      return button;
    }));
  }

  function fill(select, pairs, chosen) {
    select.replaceChildren(...pairs.map(([value, text]) => {
      const option = make("option", { value }, text);
      option.selected = value === chosen;
      return option;
    }));
  }

  // Hides, locks or takes away what may have the focus; next(had) then takes it over at once, so that
  // nobody who works with the keyboard is thrown back to the top of the page.
  function keepFocus(change, next) {
    const had = document.activeElement;
    change();
    if (had && had !== document.body && (!had.isConnected || had.disabled || had.closest("[hidden]"))) next(had).focus();
  }

  // Puts others in the place of a node's children. What bears the same name as what had the focus gets it,
  // else otherwise().
  function renew(node, children, otherwise) {
    const nameOf = (one) => one.getAttribute("aria-label") || one.textContent;
    keepFocus(() => node.replaceChildren(...children),
      (had) => [...node.querySelectorAll("a, button")].find((one) => nameOf(one) === nameOf(had)) || otherwise());
  }

  // On a phone, answers lie below what was pressed: as many of them are shown as leave that in view.
  function reveal(node) {
    const box = node.getBoundingClientRect();
    if (box.top < 0.8 * innerHeight) return;
    const pressed = document.activeElement === document.body ? node : document.activeElement;
    scrollBy(0, Math.max(0, Math.min(box.bottom - innerHeight, pressed.getBoundingClientRect().top - 16)));
  }

  // A button that waits: "disabled" would take the focus from somebody who has just pressed it.
  const lock = (button, is) => button.setAttribute("aria-disabled", is);
  const locked = (button) => button.getAttribute("aria-disabled") === "true";

  function percent(share) {
    if (share > 0.999) return ">\u00a099.9\u00a0%";
    if (share < 0.001) return "<\u00a00.1\u00a0%";
    return `${(100 * share).toFixed(1)}\u00a0%`;
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    const minutes = Math.round(seconds / 60);
    if (minutes < 90) return `${minutes} min`;
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  }

  function size(bytes) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    const place = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
    const number = bytes / 1024 ** place;
    return `${number.toFixed(place && number < 10 ? 1 : 0)} ${units[place]}`;
  }

  // The name that a person judges under, kept in this browser only.
  const who = (given) => {
    if (given !== undefined) localStorage.setItem("synthlift-who", given);
    return localStorage.getItem("synthlift-who") || "";
  };

  const wait = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
  const find = (id) => document.getElementById(id);
  const wanted = (name) => new URLSearchParams(location.search).get(name);
  const several = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

  // A study in a list; what came with Synthlift is told from the same one computed here.
  const named = (run) => `${run.name}${run.delivered ? " (delivered)" : ""}, ${run.created.slice(0, 10)}`;

  // Fills the list of studies with those that a page can work with, as soon as there is one.
  async function offerRuns(suits) {
    let runs = [];
    for (;;) {
      try {
        runs = (await askAgain("runs")).runs.filter(suits);
      } catch (error) {
        find("none").hidden = false;
        say(find("none"), error.message, true);
        return runs;
      }
      if (runs.length) break;
      find("none").hidden = false;
      await wait(3000);
    }
    find("none").hidden = true;
    find("work").hidden = false;
    fill(find("run"), runs.map((one) => [one.id, named(one)]), wanted("run"));
    return runs;
  }

  // The meaning of a word covers what is below it until Escape is pressed, or the word is left.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const term of document.querySelectorAll(".term:hover, .term:focus")) term.classList.add("closed");
  });
  for (const term of document.querySelectorAll(".term")) {
    for (const left of ["pointerleave", "blur"]) {
      term.addEventListener(left, () => { if (!term.matches(":hover, :focus")) term.classList.remove("closed"); });
    }
  }

  return { ask, askAgain, say, make, fill, pictureOf, replace, nearest, unlike, percent, duration, size, who, wait, find, several, wanted, named, offerRuns, tooLarge, takeFiles, offerSamples, keepFocus, renew, reveal, lock, locked };
})();
