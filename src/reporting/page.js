"use strict";
// The page's behaviour: which model is shown, which pictures; maps are drawn here from their raw cells.
(() => {
  const results = JSON.parse(document.getElementById("results").textContent);
  const PAGE = 48; // cards that are added at a time
  const SIDE = 224; // pixels of a drawn map
  const colors = new Uint32Array(bytes(results.colors).buffer); // RGBA of each value
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const filters = document.getElementById("filters");
  const gallery = document.getElementById("gallery");
  const choice = document.getElementById("model-choice");
  const dialog = document.getElementById("enlarged");
  let model = results.models[0], matching = [], shown = 0, enlarged = 0;
  document.documentElement.classList.add("js");

  function bytes(text) {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }

  // Everything from the results enters the page as text, never as markup.
  function make(tag, properties = {}, ...inside) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  }

  // Bilinear, cell centres aligned, as heatmap_drawing.enlarge_heatmap does it; then each value's colour.
  function drawMap(canvas, map) {
    const values = bytes(map.values), context = canvas.getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    const along = (count) => Array.from({ length: SIDE }, (_, place) => {
      const at = Math.min(count - 1, Math.max(0, (place + 0.5) * count / SIDE - 0.5)), first = Math.floor(at);
      return [first, Math.min(count - 1, first + 1), at - first];
    });
    const rows = along(map.rows), columns = along(map.columns);
    const pixels = new Uint32Array(image.data.buffer);
    let target = 0;
    for (const [top, bottom, down] of rows) {
      for (const [left, right, across] of columns) {
        const upper = values[top * map.columns + left] * (1 - across) + values[top * map.columns + right] * across;
        const lower = values[bottom * map.columns + left] * (1 - across) + values[bottom * map.columns + right] * across;
        pixels[target++] = colors[Math.round(upper * (1 - down) + lower * down)];
      }
    }
    context.putImageData(image, 0, 0);
  }

  const source = (number) => `data:image/jpeg;base64,${results.pictures[number]}`;
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const fileName = (path) => path.split(/[\\/]/).pop();

  function view(row, label, map) {
    const stack = make("span", { className: "stack" }, make("img", { src: source(row.picture), alt: label }));
    if (map) {
      const canvas = make("canvas", { width: SIDE, height: SIDE });
      canvas.setAttribute("aria-hidden", "true");
      drawMap(canvas, map);
      stack.append(canvas);
    }
    return make("span", { className: "view" }, stack, make("span", { className: "label", textContent: label }));
  }

  function views(row) {
    const parts = [view(row, "picture")];
    const [predicted, truth] = row.maps || [];
    const strength = (map) => (map.empty ? ": no positive evidence" : "");
    if (predicted) parts.push(view(row, `for ${model.classes[row.predicted]}${strength(predicted)}`, predicted));
    if (truth) parts.push(view(row, `for ${model.classes[row.true]}${strength(truth)}`, truth));
    return parts;
  }

  function facts(row) {
    const right = row.true === row.predicted;
    const verdict = make("b", {
      className: right ? "right" : "wrong",
      textContent: `${right ? "right" : "wrong"}: ${model.classes[row.predicted]} ${percent(row.confidence)}`,
    });
    const truth = right ? "" : `, is ${model.classes[row.true]} (${percent(row.probability)})`;
    return [verdict, `${truth}; loss ${row.loss.toFixed(2)}`, make("br"), make("span", { className: "about", textContent: row.path })];
  }

  function card(row, place) {
    const button = make("button", { type: "button", className: "views" }, ...views(row));
    const answer = row.true === row.predicted ? "recognised" : `taken for ${model.classes[row.predicted]}`;
    button.setAttribute("aria-label", `${fileName(row.path)}: ${model.classes[row.true]}, ${answer}, confidence ${percent(row.confidence)}. Enlarge`);
    button.addEventListener("click", () => enlarge(place));
    return make("li", { className: row.maps ? "" : "single" }, button, make("p", { className: "facts" }, ...facts(row)));
  }

  function showMore() {
    const upTo = Math.min(matching.length, shown + PAGE);
    while (shown < upTo) gallery.append(card(matching[shown], shown++));
    document.getElementById("more").hidden = shown === matching.length;
    const total = countAll(), most = matching.length > shown ? `; the first ${shown} are shown` : "";
    const of = total > matching.length ? ` of ${total}` : "";
    document.getElementById("count").textContent = `${matching.length}${of} pictures of ${model.name}${most}`;
  }

  // How many answers the filters fit in all, those included whose pictures are not in this file; 0 where that cannot be
  // told, because confidences of the others are not here.
  function countAll() {
    const chosen = filters.elements;
    if (Number(chosen.from.value) > 0 || (chosen.to.value !== "" && Number(chosen.to.value) < 100)) return 0;
    const fits = (name, value) => chosen[name].value === "" || Number(chosen[name].value) === value;
    return model.cells.filter(([truth, given]) => isOfKind(truth === given) && fits("true", truth) && fits("predicted", given))
      .reduce((sum, [, , count]) => sum + count, 0);
  }
  function isOfKind(right) {
    const kind = filters.elements.kind.value;
    return kind === "all" || (kind === "right") === right;
  }

  const ORDERS = {
    confidence: (a, b) => b.confidence - a.confidence || b.loss - a.loss,
    unsure: (a, b) => a.confidence - b.confidence,
    loss: (a, b) => b.loss - a.loss,
    path: (a, b) => (a.path < b.path ? -1 : 1),
  };

  function filter() {
    const chosen = filters.elements;
    const asked = (name) => (chosen[name].value === "" ? null : Number(chosen[name].value));
    const [truth, given] = [asked("true"), asked("predicted")];
    const [least, most] = [(asked("from") ?? 0) / 100, (asked("to") ?? 100) / 100];
    matching = model.rows.filter((row) => isOfKind(row.true === row.predicted) &&
      (truth === null || row.true === truth) && (given === null || row.predicted === given) &&
      row.confidence >= least - 1e-9 && row.confidence <= most + 1e-9);
    matching.sort(ORDERS[chosen.order.value]);
    gallery.replaceChildren();
    shown = 0;
    showMore();
  }

  function setOpacity(share) {
    document.documentElement.style.setProperty("--opacity", share);
  }
  function reset() {
    filters.reset();
    setOpacity(1);
  }

  function show(kind, truth, given) {
    reset();
    filters.elements.kind.value = kind;
    filters.elements.true.value = truth;
    filters.elements.predicted.value = given;
    filter();
    document.getElementById("pictures").scrollIntoView();
    document.getElementById("pictures-title").focus({ preventScroll: true });
  }

  function choose(number) {
    model = results.models[number];
    choice.value = String(number);
    for (const part of all("[data-model]")) part.hidden = part.dataset.model !== String(number);
    for (const place of all(".chosen")) place.textContent = model.name;
    for (const name of ["true", "predicted"]) {
      const every = make("option", { value: "", textContent: "any" });
      filters.elements[name].replaceChildren(every, ...model.classes.map((text, place) => make("option", { value: String(place), textContent: text })));
    }
    find(".maps-only").hidden = !model.rows.some((row) => row.maps);
    reset();
    if (!model.rows.some((row) => row.true !== row.predicted)) filters.elements.kind.value = "right";
    filter();
  }

  function enlarge(place) {
    enlarged = place;
    const row = matching[place];
    document.getElementById("enlarged-title").textContent = fileName(row.path);
    find(".views", dialog).replaceChildren(...views(row));
    const strengths = (row.strengths || []).map((text, which) => text && `; map for ${model.classes[which ? row.true : row.predicted]}: ${text}`);
    find(".facts", dialog).replaceChildren(...facts(row), ...strengths.filter(Boolean));
    // Not disabled, which would take the focus from them, and with it the arrow keys.
    document.getElementById("previous").setAttribute("aria-disabled", String(place === 0));
    document.getElementById("next").setAttribute("aria-disabled", String(place === matching.length - 1));
    if (!dialog.open) dialog.showModal();
  }
  function step(by) {
    const place = enlarged + by;
    if (place >= 0 && place < matching.length) enlarge(place);
  }

  // What a spreadsheet would run as a formula gets a quote, as in files.write_csv.
  function cell(value) {
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }
  function save() {
    const rows = matching.map((row) => [row.path, model.classes[row.true], model.classes[row.predicted], row.confidence, row.probability, row.loss]);
    const lines = [["path", "true", "predicted", "confidence", "probability_of_true", "loss"], ...rows].map((row) => row.map(cell).join(","));
    const url = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    make("a", { href: url, download: `${model.name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.getElementById("theme").setAttribute("aria-pressed", String(dark));
  }

  for (const image of all("img[data-picture]")) {
    image.loading = "lazy";
    image.src = source(Number(image.dataset.picture));
  }
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches);
  document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  choice.addEventListener("change", () => choose(Number(choice.value)));
  for (const button of all("[data-choose]")) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.choose));
      document.getElementById(button.dataset.goto || "model").scrollIntoView();
    });
  }
  for (const button of all("[data-true]")) {
    const { true: truth, predicted = "" } = button.dataset;
    const kind = predicted === "" ? "wrong" : truth === predicted ? "right" : "all";
    button.addEventListener("click", () => show(kind, truth, predicted));
  }
  filters.addEventListener("input", (event) => {
    if (event.target.name === "opacity") setOpacity(event.target.value / 100);
    else filter();
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    reset();
    filter();
  });
  // On paper nothing can be opened or called for.
  addEventListener("beforeprint", () => {
    for (const part of all("details")) part.open = true;
    while (shown < matching.length) showMore();
  });
  document.getElementById("more").addEventListener("click", showMore);
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  choose(0);
})();
