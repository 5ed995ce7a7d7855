// The generator: what its file says about itself, its input channels, its runs by onnxruntime-web.

import * as ort from "./ort.wasm.min.mjs";
import { NONE } from "./drawing.js";

const VERSION = 1; // of manifests that this page reads
const SEED_STEP = 0x9e3779b9; // so that seeds which follow each other start far apart

/** A file beside the page. Throws an Error whose message is for the user. */
async function beside(name, kind) {
  let answer;
  try {
    answer = await fetch(name);
  } catch {
    throw new Error(`${name}: the server does not answer; start it again and load this page anew.`);
  }
  if (!answer.ok) {
    throw new Error(`${name}: the server has no such file (${answer.status}); `
      + "copy the whole folder that the export wrote.");
  }
  try {
    return await answer[kind]();
  } catch {
    throw new Error(`${name}: damaged or cut short; copy it again from the export's folder.`);
  }
}

/** The model, ready to run: {manifest, plan, bytes, run(Float32Array, height, width)}. */
export async function openModel() {
  const [manifest, plan, content] = await Promise.all([
    beside("manifest.json", "json"),
    beside("page.json", "json"),
    beside("model.onnx", "arrayBuffer"),
  ]);
  if (manifest.format !== "gancompress" || manifest.version !== VERSION) {
    throw new Error(`manifest.json: of version ${manifest.version}; this page reads version `
      + `${VERSION}, so export the folder again.`);
  }
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  // Threads share memory, which browsers allow to isolated pages alone.
  ort.env.wasm.numThreads = crossOriginIsolated
    ? Math.min(4, navigator.hardwareConcurrency) : 1;
  ort.env.wasm.proxy = true; // in a worker, so that drawing goes on while the model runs
  const bytes = content.byteLength;
  let session;
  try {
    session = await ort.InferenceSession.create(new Uint8Array(content), {
      executionProviders: ["wasm"],
    });
  } catch (error) {
    throw new Error(`model.onnx: this browser cannot run it (${firstLine(error)}).`);
  }
  const run = async (values, height, width) => {
    const dims = [1, manifest.input.channels, height, width];
    const [low, high] = manifest.input.range;
    const half = (high - low) / 2, middle = (high + low) / 2; // of the file's images; here [-1, 1]
    const own = values.map((value) => value * half + middle); // its memory goes to the worker
    const given = new ort.Tensor("float32", own, dims);
    try {
      const answer = await session.run({ [session.inputNames[0]]: given });
      const output = answer[session.outputNames[0]];
      return { data: output.data.map((value) => (value - middle) / half), channels: output.dims[1],
        height: output.dims[2], width: output.dims[3] };
    } catch (error) {
      throw new Error(`The model refused this input (${firstLine(error)}); try another size.`);
    }
  };
  return { manifest, plan, bytes, run };
}

export function firstLine(error) {
  return String(error?.message ?? error).trim().split("\n")[0];
}

/** (C, H, W) in [-1, 1] as the generator takes it, in the order of its channels. */
export function inputOf(drawing, plan, asked, seed) {
  const { width, height, values } = drawing;
  const count = width * height;
  const constants = [
    ...plan.domains.map((name) => (asked.has(name) ? 1 : 0)),
    ...Array(plan.other).fill(0),
    ...normals(plan.style, seed),
  ];
  const first = plan.classes.length || plan.image;
  const input = new Float32Array((first + constants.length) * count);
  if (plan.classes.length) {
    values.forEach((value, i) => {
      if (value !== NONE) input[value * count + i] = 1;
    });
  } else if (plan.image === 3) {
    values.forEach((value, i) => {
      input[i] = (value >> 16) / 127.5 - 1;
      input[count + i] = ((value >> 8) & 255) / 127.5 - 1;
      input[2 * count + i] = (value & 255) / 127.5 - 1;
    });
  } else if (plan.image === 1) {
    values.forEach((value, i) => { // ITU-R BT.601
      const grey = 0.299 * (value >> 16) + 0.587 * ((value >> 8) & 255) + 0.114 * (value & 255);
      input[i] = Math.round(grey) / 127.5 - 1;
    });
  }
  constants.forEach((value, i) => input.fill(value, (first + i) * count, (first + i + 1) * count));
  return input;
}

/** `count` numbers drawn from N(0, 1), always the same for one seed (Box and Muller 1958). */
export function normals(count, seed) {
  let state = Math.imul(seed, SEED_STEP);
  const uniform = () => { // in (0, 1]: three rounds of xorshift and multiply on a counter
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 1) / 2 ** 32;
  };
  return Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** Pixels of an output in [-1, 1]: grey, RGB or RGBA; of other counts the first one or three. */
export function pixelsOf({ data, channels, height, width }) {
  const count = width * height;
  const pixels = new Uint8ClampedArray(4 * count); // rounds and clamps by itself
  const coloured = channels >= 3;
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) {
      pixels[4 * i + c] = (data[(coloured ? c : 0) * count + i] + 1) * 127.5;
    }
    pixels[4 * i + 3] = channels === 4 ? (data[3 * count + i] + 1) * 127.5 : 255;
  }
  return new ImageData(pixels, width, height);
}
