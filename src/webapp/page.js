"use strict";
// Sends the picture, shows the answer; all that is computed is computed by the server.
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const CLASSES = 8; // with their confidences
  const POSSIBLE = 5; // classes of an unsure answer that are named
  const element = (id) => document.getElementById(id);
  const find = (selector, within = document) => within.querySelector(selector);
  let picture = null; // the last one that could be read
  let underway = null; // what aborts the questions that are being answered
  let answered = false, newest = 0;

  class Problem extends Error {}

  // Everything that was sent or answered enters the page as text, never as markup.
  function make(tag, properties = {}, ...inside) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...inside);
    return made;
  }
  const option = (value, text) => make("option", { value, textContent: text });
  const percent = (share) => `${(100 * share).toFixed(1)}%`;

  function say(text) { element("status").textContent = text; }
  function complain(text) {
    element("problem").hidden = !text;
    element("problem").textContent = text;
  }

  async function read(response) {
    let value;
    try {
      value = await response.json();
    } catch {
      throw new Problem("The server's answer could not be read; look at the terminal that it runs in.");
    }
    if (!response.ok) throw new Problem(value.error || "The server refused; look at the terminal that it runs in.");
    return value;
  }
  async function request(address, options) {
    try {
      return await fetch(address, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("The server does not answer: was it stopped? Start it again with python -m src.app.");
    }
  }

  // ------------------------------------------------------------------------------------------------ the answer

  // What is asked is settled at once: what is chosen meanwhile is the next question.
  function ask() {
    const [model, name, versus] = ["model", "class", "versus"].map((id) => element(id).value);
    return [element("method").value, element("second").value].filter(Boolean).map((method) => {
      const asked = new URLSearchParams({ model, method });
      if (name && settings.methods[method].of_a_class) asked.set("class", name);
      if (versus && versus !== name && settings.methods[method].of_a_class) asked.set("versus", versus);
      return `/explain?${asked}`;
    });
  }

  async function refresh(sent = picture) {
    if (!sent) return;
    underway?.abort();
    const mine = underway = new AbortController();
    complain("");
    say("Working …");
    document.body.classList.add("busy");
    const patience = setTimeout(() => tellQueue(mine), 1500);
    const found = [];
    try {
      for (const address of ask()) {
        found.push(await read(await request(address, { method: "POST", body: sent, signal: mine.signal })));
        if (mine !== underway) return;
        picture = sent;
        show(found);
      }
    } catch (error) {
      if (error.name === "AbortError" || mine !== underway) return;
      if (!(error instanceof Problem)) throw error;
      complain(error.message);
      say(found.length ? "The other method's map is below." : answered ? "The answer below is the one before." : "No answer.");
    } finally {
      clearTimeout(patience);
      if (mine === underway) document.body.classList.remove("busy");
    }
  }

  async function tellQueue(mine) {
    try {
      const { waiting } = await read(await request("/health"));
      const others = waiting > 1 ? ` ${waiting - 1} more in the queue.` : "";
      if (mine === underway && !mine.signal.aborted && document.body.classList.contains("busy")) say(`Working …${others}`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the question itself will say it
    }
  }

  function show(found) {
    answered = true;
    const [first] = found, best = first.classes[0], result = element("result");
    if (result.hidden) requestAnimationFrame(() => element("answer").scrollIntoView({ block: "nearest" }));
    result.hidden = false;
    element("verdict").textContent = `${best.class} (${percent(best.probability)})`;
    const doubt = judged(first);
    element("judged").hidden = !doubt;
    element("judged").textContent = doubt;
    say(`${found.map((each) => `${each.title}: ${each.seconds.toFixed(2)} s`).join(", ")}.`);
    find(".panels").replaceChildren(panel(first, null), ...found.map((each) => panel(each, each)));
    const list = find(".confidences"), focused = list.contains(document.activeElement);
    list.replaceChildren(...first.classes.slice(0, CLASSES).map((row) => confidence(row, first)));
    if (focused) (find("[aria-pressed=true]", list) || find("button", list)).focus(); // it stays with the class
  }

  // What speaks against the answer, in a sentence; "" for nothing.
  function judged(answer) {
    if (answer.known === false) return "Unlike the pictures that this model was trained on: it may be none of its classes.";
    if (answer.sure !== false) return "";
    const others = answer.possible.length - POSSIBLE, named = answer.possible.slice(0, POSSIBLE).join(" or ");
    return answer.possible.length > 1 ? `Unsure: ${named}${others > 0 ? `, or one of ${others} others` : ""}.` : "Unsure.";
  }

  function about(answer) {
    if (!answer.class_specific) return "one map for all classes";
    return answer.versus ? `${answer.explained} rather than ${answer.versus}` : `why ${answer.explained}`;
  }

  function panel(answer, explained) {
    const stack = make("div", { className: "stack" }, make("img", { src: `data:image/jpeg;base64,${answer.picture}`, alt: "your picture" }));
    if (!explained) return make("figure", { className: "panel" }, stack, make("figcaption", { textContent: "your picture" }));
    const text = `${answer.title}: ${about(answer)}`;
    stack.append(make("img", { className: "layer", src: `data:image/png;base64,${answer.layer}`, alt: `map: ${text}` }));
    const save = make("button", { type: "button", textContent: "Save picture" });
    save.setAttribute("aria-label", `Save picture of ${text}`);
    save.addEventListener("click", () => download(answer));
    const caption = make("figcaption", {}, text, answer.target_layer ? `, layer ${answer.target_layer}` : "", make("br"), scale(answer), save);
    return make("figure", { className: "panel explained" }, stack, caption);
  }

  function scale(answer) {
    if (!(answer.largest > 0)) return make("p", { textContent: answer.signed ? "no evidence" : "no positive evidence for this class" });
    const colors = Uint8Array.from(atob(settings.colors[answer.signed ? "signed" : "unsigned"]), (c) => c.charCodeAt(0));
    const bar = make("canvas", { width: 256, height: 1 }), context = bar.getContext("2d"), image = context.createImageData(256, 1);
    bar.setAttribute("aria-hidden", "true");
    for (let place = 0; place < 256; place++) image.data.set([...colors.subarray(3 * place, 3 * place + 3), 255], 4 * place);
    context.putImageData(image, 0, 0);
    const [low, high] = answer.signed ? ["against", "for"] : ["0", answer.largest.toPrecision(3)];
    return make("div", { className: "scale" }, low, bar, high);
  }

  function confidence(row, answer) {
    const bar = make("i");
    bar.style.setProperty("--share", row.probability);
    const track = make("span", { className: "track" }, bar);
    track.setAttribute("aria-hidden", "true");
    const button = make("button", { type: "button" }, make("span", { className: "name", textContent: row.class }), track, make("span", { className: "share", textContent: percent(row.probability) }));
    button.setAttribute("aria-pressed", String(row.class === answer.explained));
    button.addEventListener("click", () => {
      element("class").value = row.class;
      if (element("versus").value === row.class) element("versus").value = "";
      refresh();
    });
    return make("li", {}, button);
  }

  function load(source) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = reject;
      image.src = source;
    });
  }
  async function download(answer) {
    const [under, layer] = await Promise.all([load(`data:image/jpeg;base64,${answer.picture}`), load(`data:image/png;base64,${answer.layer}`)]);
    const canvas = make("canvas", { width: under.naturalWidth, height: under.naturalHeight }), context = canvas.getContext("2d");
    context.drawImage(under, 0, 0);
    context.globalAlpha = element("opacity").value / 100;
    context.drawImage(layer, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const url = URL.createObjectURL(blob), name = `${answer.explained}_${answer.method}`.replace(/[^\p{L}\p{N}_+-]+/gu, "_");
    make("a", { href: url, download: `${name}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  // ----------------------------------------------------------------------------------------------- the picture

  async function take(blob) {
    if (blob.size > settings.most_bytes) {
      complain(`This file is larger than ${Math.floor(settings.most_bytes / 2 ** 20)} MB; take a smaller one.`);
      return;
    }
    const mine = ++newest;
    let content;
    try {
      content = new Blob([await blob.arrayBuffer()]); // as it is now, whatever becomes of the file
    } catch {
      complain("This file cannot be read (was it moved or changed?); choose it again.");
      return;
    }
    if (mine !== newest) return;
    element("class").value = element("versus").value = "";
    element("answer").scrollIntoView({ block: "nearest" }); // on a telephone it lies below
    await refresh(content);
  }
  function takeFirst(files) {
    if (files.length) take(files[0]);
    else complain("That was no file; drop or paste a picture.");
  }

  async function photograph() {
    const dialog = element("viewfinder"), video = find("video", dialog);
    if (!navigator.mediaDevices) { // as on a telephone that came by an address of the network: its own camera
      element("file").setAttribute("capture", "environment");
      element("file").click();
      element("file").removeAttribute("capture");
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
    } catch {
      complain("The camera cannot be used: there is none, or the browser was not allowed to. Choose a picture instead.");
      return;
    }
    video.srcObject = stream;
    dialog.showModal();
    const taken = await new Promise((resolve) => {
      element("take").onclick = () => {
        const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
        canvas.getContext("2d").drawImage(video, 0, 0);
        canvas.toBlob(resolve, "image/png");
      };
      element("cancel").onclick = () => resolve(null);
      dialog.oncancel = () => resolve(null);
    });
    for (const track of stream.getTracks()) track.stop();
    dialog.close();
    if (taken) take(taken);
  }

  // ------------------------------------------------------------------------------------------------- the model

  async function chooseModel() {
    const model = element("model").value, asked = new URLSearchParams({ model });
    underway?.abort();
    underway = null;
    document.body.classList.remove("busy");
    answered = false;
    element("result").hidden = true;
    complain("");
    say("The model is being loaded …");
    try {
      const [classes, errors] = await Promise.all([
        request(`/classes?${asked}`).then(read),
        request(`/errors?${asked}`).then(read),
      ]);
      if (model !== element("model").value) return;
      element("class").replaceChildren(option("", "the predicted class"), ...classes.map((name) => option(name, name)));
      element("versus").replaceChildren(option("", "–"), ...classes.map((name) => option(name, name)));
      showErrors(model, errors);
      say("No picture yet.");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (model !== element("model").value) return;
      complain(error.message);
      say("No answer.");
      return;
    }
    await refresh();
  }

  function showErrors(model, errors) {
    element("errors").hidden = !errors.length;
    find(".model-name").textContent = model;
    find(".errors").replaceChildren(...errors.map((each, number) => {
      const address = `/errors/picture?${new URLSearchParams({ model, number })}`;
      const text = `${each.predicted}, is ${each.true}`;
      const button = make("button", { type: "button" }, make("img", { src: address, alt: "", loading: "lazy" }), text);
      button.setAttribute("aria-label", `${each.file}: predicted ${text}`);
      button.addEventListener("click", async () => {
        const mine = ++newest;
        try {
          const response = await request(address);
          if (!response.ok) await read(response);
          const content = await response.blob();
          if (mine === newest) await take(content);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          complain(error.message);
        }
      });
      return make("li", {}, button);
    }));
  }

  // --------------------------------------------------------------------------------------------------- the rest

  const drop = element("drop");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    takeFirst(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => takeFirst(event.clipboardData.files));
  element("choose").addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", () => {
    if (element("file").files.length) take(element("file").files[0]);
    element("file").value = ""; // so that the same file can be chosen again
  });
  element("camera").addEventListener("click", photograph);
  element("model").replaceChildren(...settings.models.map((name) => option(name, name)));
  element("model").addEventListener("change", chooseModel);
  const methods = Object.entries(settings.methods).map(([name, { title, slow }]) => [name, slow ? `${title} (slow)` : title]);
  element("method").replaceChildren(...methods.map((each) => option(...each)));
  element("second").replaceChildren(option("", "–"), ...methods.map((each) => option(...each)));
  for (const id of ["class", "versus", "method", "second"]) element(id).addEventListener("change", () => refresh());
  element("opacity").addEventListener("input", () => find(".panels").style.setProperty("--opacity", element("opacity").value / 100));
  find(".choices").addEventListener("submit", (event) => event.preventDefault());
  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    element("theme").setAttribute("aria-pressed", String(dark));
  }
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  element("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  chooseModel();
})();
