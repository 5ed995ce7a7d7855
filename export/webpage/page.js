// The page: a drawing or a picture goes in, the generator's picture comes out beside it.

import { Drawing, listen, NONE } from "./drawing.js";
import { firstLine, inputOf, openModel, pixelsOf } from "./model.js";

const RUNS = 9; // whose median time is told
const LONGEST = [256, 512, 1024]; // sides in pixels that may be chosen, the middle one at first
const WHITE = 0xffffff;

const find = (id) => document.getElementById(id);
const times = [];
// For tests and the curious: the last run's numbers, before they became pixels.
window.gancompress = { last: null, runs: 0 };

let model = null;
let drawing = null;
let picture = null; // what was uploaded last, as long as nothing is drawn on it
let seed = 1;
let timed = ""; // the size that `times` are of
let isRunning = false;
let isDue = false;

function tell(error) {
  find("error").hidden = !error;
  find("error").textContent = error ? firstLine(error) : "";
}

/** Runs once more after whatever runs now. */
async function run() {
  isDue = true;
  if (isRunning) return;
  isRunning = true;
  try {
    while (isDue) {
      isDue = false;
      await runOnce();
    }
    tell(null);
  } catch (error) {
    tell(error);
  } finally {
    isRunning = false;
  }
}

async function runOnce() {
  const boxes = document.querySelectorAll("#domains input:checked");
  const asked = new Set(Array.from(boxes, (box) => box.value));
  const input = inputOf(drawing, model.plan, asked, seed);
  const { height, width } = drawing;
  if (timed !== `${height} ${width}`) { // the first run of a size sets memory up: not timed
    await model.run(input, height, width);
    timed = `${height} ${width}`;
    times.length = 0;
  }
  const start = performance.now();
  const output = await model.run(input, height, width);
  const ms = performance.now() - start;
  const canvas = find("output");
  Object.assign(canvas, { width: output.width, height: output.height });
  canvas.className = drawing.canvas.className;
  canvas.getContext("2d").putImageData(pixelsOf(output), 0, 0);
  times.push(ms);
  if (times.length > RUNS) times.shift();
  const sorted = times.toSorted((one, other) => one - other);
  const median = sorted[sorted.length >> 1];
  find("time").textContent = `${median.toFixed(1)} ms per run at ${output.width} × `
    + `${output.height} pixels (${times.length > 1 ? `median of ${times.length}` : "one run"}).`;
  find("download").disabled = false;
  window.gancompress.last = { input, output: output.data, ms,
    dims: [1, output.channels, output.height, output.width] };
  window.gancompress.runs += 1;
}

function changed() {
  if (find("live").checked) run();
}

/** The size that a picture of this one gets, [width, height, scale; null: stretched]. */
function sizeFor(width, height) {
  const { size, size_multiple: unit } = model.manifest.input;
  const chosen = find("size").value;
  if (chosen === "trained") return [size[1], size[0], null];
  const scale = Math.min(1, Number(chosen) / Math.max(width, height));
  const fit = (side) => Math.max(2, Math.floor((side * scale) / unit)) * unit;
  return [fit(width), fit(height), scale];
}

function load(image) {
  picture = null;
  drawing.load(image, ...sizeFor(image.width, image.height));
  picture = image;
}

async function upload(file) {
  if (!file) return;
  try {
    load(await createImageBitmap(file, { colorSpaceConversion: "none" }));
  } catch {
    tell(`${file.name}: not a picture that this browser can read; give a PNG or a JPEG.`);
  }
}

function empty() {
  return drawing.colours ? 0 : WHITE;
}

/** The packaged input, at the size that it was trained with, or an empty page. */
async function start() {
  const { plan, manifest } = model;
  const [height, width] = manifest.input.size;
  if (plan.example) {
    const answer = await fetch(plan.example);
    if (answer.ok) {
      load(await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" }));
      return;
    }
  }
  drawing.resize(width, height, empty());
  changed();
}

function describe({ manifest, plan, bytes }) {
  const { facts, input } = manifest;
  const name = facts.name ?? facts.recipe;
  const does = facts.latent ? `makes pictures of ${facts.latent} random numbers`
    : plan.classes.length ? `paints a picture from a map of ${plan.classes.length} classes`
      : plan.domains.length ? `turns a picture into ${plan.domains.join(", ")}`
        : plan.image ? "turns a picture into another" : "makes a picture";
  const unit = facts.latent ? "a picture" : `${input.size[1]} × ${input.size[0]} pixels`;
  const cost = plan.macs
    ? `, and takes ${(plan.macs / 1e6).toPrecision(3)} million multiply-adds for ${unit}` : "";
  const data = facts.data ? `, trained on ${facts.data}` : "";
  const zeros = !plan.other ? ""
    : ` ${plan.other} further input ${plan.other > 1 ? "channels are" : "channel is"} left 0 here.`;
  if (name) find("title").textContent = document.title = `${name}: compressed generator`;
  find("about").textContent = `A ${manifest.arch.family} network that ${does}${data}. It has `
    + `${Math.round(bytes / 1000).toLocaleString("en")} kB${cost}.${zeros}`;
}

function option(kind, name, value, text, isChecked) {
  const label = document.createElement("label");
  const box = Object.assign(document.createElement("input"),
    { type: kind, name, value, checked: isChecked });
  label.append(box, ` ${text}`);
  return { label, box };
}

function offerClasses(classes) {
  find("classes").hidden = !classes.length;
  find("colour-label").hidden = classes.length > 0;
  const listed = [...classes.map(({ name }, i) => [i, name]), [NONE, "nothing"]];
  for (const [value, text] of classes.length ? listed : []) {
    const { label, box } = option("radio", "class", value, text, value === 0);
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = classes[value]?.colour ?? "#000000";
    box.after(swatch);
    box.addEventListener("change", () => { drawing.value = value; });
    find("classes").append(label);
  }
}

function offerDomains({ domains, is_exclusive: isExclusive }) {
  find("domains").hidden = !domains.length;
  domains.forEach((name, i) => {
    const kind = isExclusive ? "radio" : "checkbox";
    const { label, box } = option(kind, "domain", name, name, i === 0);
    box.addEventListener("change", changed);
    find("domains").append(label);
  });
}

function offerSizes({ is_static: isStatic, input }) {
  const trained = new Option(`${input.size[1]} × ${input.size[0]}, as trained`, "trained");
  const others = LONGEST.map((side) => new Option(`the picture's own, up to ${side}`, side));
  find("size").append(...(isStatic ? [trained] : [...others, trained]));
  find("size").selectedIndex = isStatic ? 0 : 1;
  find("size").disabled = isStatic;
  find("size").addEventListener("change", async () => {
    // Classes go on as their colours, which `load` reads back.
    load(picture ?? await createImageBitmap(drawing.canvas));
  });
}

function offerTools() {
  const width = () => {
    drawing.brush = Number(find("width").value);
    find("width-shown").textContent = `${drawing.brush} px`;
  };
  const colour = () => { drawing.value = parseInt(find("colour").value.slice(1), 16); };
  find("width").addEventListener("input", width);
  find("colour").addEventListener("input", colour);
  width();
  if (!drawing.colours) colour();
  for (const tool of document.querySelectorAll("input[name=tool]")) {
    tool.addEventListener("change", () => { drawing.tool = tool.value; });
  }
  find("undo").addEventListener("click", () => drawing.undo());
  find("clear").addEventListener("click", () => drawing.clear(empty()));
  find("example").hidden = !model.plan.example;
  find("example").addEventListener("click", () => start().catch(tell));
  find("style").hidden = !model.plan.style;
  find("style").addEventListener("click", () => {
    seed += 1;
    changed();
  });
}

/** A generator of random numbers alone: nothing to draw, another seed makes another picture. */
function offerSeedsAlone() {
  find("input-part").hidden = true;
  find("style").textContent = "Another picture";
  find("run").after(find("style"));
}

function offerFiles() {
  const place = find("drop");
  find("file").addEventListener("change", (event) => {
    upload(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    upload(event.dataTransfer.files[0]);
  });
}

function offerOutput() {
  find("run").addEventListener("click", run);
  find("live").addEventListener("change", changed);
  find("download").addEventListener("click", () => find("output").toBlob((blob) => {
    const link = Object.assign(document.createElement("a"),
      { href: URL.createObjectURL(blob), download: "output.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }));
}

async function main() {
  model = await openModel();
  const { plan, manifest } = model;
  const colours = plan.classes.map(({ colour }) => parseInt(colour.slice(1), 16));
  drawing = new Drawing(find("input"), plan.classes.length ? colours : null, () => {
    picture = null;
    changed();
  });
  describe(model);
  offerClasses(plan.classes);
  offerDomains(plan);
  offerSizes(manifest);
  offerTools();
  offerFiles();
  offerOutput();
  if (manifest.facts.latent) offerSeedsAlone();
  listen(drawing, find("cursor"));
  find("status").hidden = true;
  find("main").hidden = false;
  await start();
}

main().catch((error) => {
  find("status").hidden = true;
  tell(error);
});
