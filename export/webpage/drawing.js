// What the user draws: a grid of values (0xRRGGBB, or class numbers) shown on a canvas.

export const NONE = 0xffff; // the value of a pixel without class
const UNDOS = 20;
const COARSE = 200; // pixels; narrower pictures are enlarged with square pixels

export class Drawing {
  /** colours: of each class as 0xRRGGBB, or null where values are colours themselves. */
  constructor(canvas, colours, changed) {
    this.canvas = canvas;
    this.colours = colours;
    this.changed = changed;
    this.tool = "brush";
    this.brush = 4; // width in pixels of the drawing
    this.value = 0;
    this.past = [];
    this.resize(1, 1, 0);
  }

  /** An empty drawing of this size. */
  resize(width, height, value) {
    Object.assign(this, { width, height, values: new Uint32Array(width * height).fill(value) });
    Object.assign(this.canvas, { width, height });
    this.canvas.classList.toggle("coarse", width < COARSE);
    this.past = [];
    this.show();
  }

  clear(value) {
    this.remember();
    this.values.fill(value);
    this.show();
    this.changed();
  }

  /** Takes over the middle of `image` (anything a canvas draws) at `scale`, or at whatever more
   *  covers width x height; with scale null all of it, stretched. */
  load(image, width, height, scale) {
    const page = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    const covering = Math.max(scale, width / image.width, height / image.height);
    const [w, h] = scale === null
      ? [width, height] : [image.width * covering, image.height * covering];
    page.imageSmoothingEnabled = !this.colours;
    page.imageSmoothingQuality = "high";
    page.fillStyle = "#fff"; // behind what is transparent
    page.fillRect(0, 0, width, height);
    page.drawImage(image, Math.trunc((width - w) / 2), Math.trunc((height - h) / 2), w, h);
    const pixels = page.getImageData(0, 0, width, height).data;
    this.resize(width, height, 0);
    for (let i = 0; i < this.values.length; i++) {
      this.values[i] = (pixels[4 * i] << 16) | (pixels[4 * i + 1] << 8) | pixels[4 * i + 2];
    }
    if (this.colours) this.values = classes(this.values, this.colours);
    this.show();
    this.changed();
  }

  show() {
    const image = new ImageData(this.width, this.height);
    const words = new DataView(image.data.buffer);
    this.values.forEach((value, i) => {
      const colour = this.colours ? this.colours[value] ?? 0 : value;
      words.setUint32(4 * i, ((colour << 8) | 255) >>> 0);
    });
    this.canvas.getContext("2d").putImageData(image, 0, 0);
  }

  remember() {
    this.past = [...this.past.slice(1 - UNDOS), this.values.slice()];
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.values = before;
    this.show();
    this.changed();
  }

  /** One touch of the tool, or the stroke of the brush from `from` to `to`, each [x, y]. */
  apply(from, to) {
    if (this.tool === "fill") this.fill(...to.map(Math.floor));
    else this.stroke(from, to);
    this.show();
    this.changed();
  }

  stroke([x0, y0], [x1, y1]) {
    const radius = this.brush / 2;
    const [left, right] = [Math.min(x0, x1) - radius, Math.max(x0, x1) + radius];
    const [top, bottom] = [Math.min(y0, y1) - radius, Math.max(y0, y1) + radius];
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy || 1;
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(this.height, bottom); y++) {
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(this.width, right); x++) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        const [gx, gy] = [px - along * dx, py - along * dy];
        // Half a pixel's diagonal at least, or the thinnest brush would pass between centres.
        if (gx * gx + gy * gy <= Math.max(0.5, radius * radius)) {
          this.values[y * this.width + x] = this.value;
        }
      }
    }
  }

  /** Paints the area of one value around (x, y). */
  fill(x, y) {
    const { width, height, values, value } = this;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const before = values[y * width + x];
    if (before === value) return;
    const open = [y * width + x];
    while (open.length) {
      const place = open.pop();
      if (values[place] !== before) continue;
      values[place] = value;
      const column = place % width;
      if (column > 0) open.push(place - 1);
      if (column < width - 1) open.push(place + 1);
      if (place >= width) open.push(place - width);
      if (place < width * (height - 1)) open.push(place + width);
    }
  }
}

/** Class numbers of colours: a grey picture of numbers as they are, others by nearest colour,
 *  black being none. */
function classes(values, colours) {
  const isNumbers = values.every((value) => {
    const number = value & 255;
    return value === number * 0x010101 && (number < colours.length || number === 255);
  });
  const found = new Map();
  return values.map((value) => {
    if (isNumbers) return (value & 255) === 255 ? NONE : value & 255;
    if (!found.has(value)) found.set(value, value ? nearest(value, colours) : NONE);
    return found.get(value);
  });
}

function nearest(value, colours) {
  const gap = (other) => [16, 8, 0].reduce(
    (sum, bits) => sum + (((value >> bits) & 255) - ((other >> bits) & 255)) ** 2, 0);
  const gaps = colours.map(gap);
  return gaps.indexOf(Math.min(...gaps));
}

/** Lets mouse, finger, pen and keys draw; `cursor` shows where the keys are. */
export function listen(drawing, cursor) {
  const { canvas } = drawing;
  let last = null;
  let place = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * drawing.width,
      ((event.clientY - box.top) / box.height) * drawing.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    drawing.remember();
    cursor.hidden = true;
    last = at(event);
    drawing.apply(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || drawing.tool !== "brush") return;
    const next = at(event);
    drawing.apply(last, next);
    last = next;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => { last = null; });
  }
  canvas.addEventListener("blur", () => { cursor.hidden = true; });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { width, height } = drawing;
    place ??= [width / 2, height / 2];
    place = [Math.min(width - 0.5, place[0]), Math.min(height - 0.5, place[1])];
    if (moves[event.key]) {
      const step = Math.max(1, drawing.brush / 2) * (event.shiftKey ? 4 : 1);
      const limits = [width - 0.5, height - 0.5];
      const next = place.map((p, i) =>
        Math.min(limits[i], Math.max(0.5, p + step * moves[event.key][i])));
      place = next;
    } else if (event.key === " " || event.key === "Enter") {
      drawing.remember();
      drawing.apply(place, place);
    } else {
      return;
    }
    event.preventDefault();
    const size = Math.max(8, (drawing.brush / width) * canvas.clientWidth);
    Object.assign(cursor.style, { width: `${size}px`, height: `${size}px`,
      left: `${(place[0] / width) * 100}%`, top: `${(place[1] / height) * 100}%` });
    cursor.hidden = false;
  });
}
