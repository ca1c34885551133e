// An image whose boxes can be drawn, moved and resized, with a pointer or with the arrow keys.

import { create, createSvg, setColours } from "./elements.js";

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const HANDLE = 7; // radius on the screen, in pixels
const SMALLEST = 4; // side of a drawn box on the screen; less is a click
const PAUSE = 700; // milliseconds without a key after which a change made with keys is complete

/**
 * Boxes are `{ number, name, box: [x1, y1, x2, y2], colours, rejected }` in pixels of the image.
 * `onSelect(number | null)`, `onMove(number, box)` and `onDraw(box)` are called when the user has done so.
 */
export class BoxEditor {
  constructor({ onSelect, onMove, onDraw }) {
    Object.assign(this, { onSelect, onMove, onDraw, boxes: [], selected: null, size: [1, 1], pending: null, held: null, restoring: false });
    this.image = create("img", { alt: "", draggable: false });
    this.drawing = createSvg("svg", { preserveAspectRatio: "none", role: "group", "aria-label": "Boxes on the image" });
    this.element = create("div", { className: "picture editor" }, this.image, this.drawing);
    this.drawing.addEventListener("pointerdown", (event) => this.grab(event));
    this.drawing.addEventListener("keydown", (event) => this.nudge(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(source, size, alt) {
    this.pending = this.held = null;
    this.size = size;
    this.image.alt = alt;
    this.image.src = source;
    this.element.style.setProperty("--width", size[0]);
    this.element.style.setProperty("--height", size[1]);
    this.drawing.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
  }

  setBoxes(boxes, selected) {
    // A box that is being changed keeps the place that it has on the screen.
    const { held } = this;
    this.boxes = boxes.map((item) => (held?.number === item.number ? Object.assign(held, { ...item, box: held.box }) : item));
    this.selected = selected;
    this.draw();
  }

  get scale() {
    return this.size[0] / Math.max(1, this.element.clientWidth);
  }

  draw() {
    const focused = this.selected !== null && this.drawing.contains(document.activeElement) ? document.activeElement.dataset.number : undefined;
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    const ordered = [...this.boxes].sort((a, b) => (a.number === this.selected) - (b.number === this.selected) || area(b) - area(a));
    this.drawing.replaceChildren(...ordered.flatMap((item) => this.shapes(item)));
    this.restoring = true;
    if (focused !== undefined) this.focus(Number(focused));
    this.restoring = false;
  }

  shapes(item) {
    const [x1, y1, x2, y2] = item.box;
    const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
    const chosen = item.number === this.selected;
    const kind = `${chosen ? " chosen" : ""}${item.rejected ? " rejected" : ""}`;
    const border = createSvg("rect", { class: `border${kind}`, ...place });
    const label = `${item.name}, box ${item.number + 1}${item.rejected ? ", rejected" : ""}`;
    const outline = setColours(createSvg("rect", { class: `outline${kind}`, tabindex: 0, role: "button", "aria-label": label, ...place }), item.colours);
    outline.dataset.number = item.number;
    outline.addEventListener("focus", () => !this.restoring && item.number !== this.selected && this.onSelect(item.number));
    const middle = { n: [0.5, 0], s: [0.5, 1], w: [0, 0.5], e: [1, 0.5], nw: [0, 0], ne: [1, 0], sw: [0, 1], se: [1, 1] };
    const handles = !chosen ? [] : HANDLES.map((side) => {
      const [u, v] = middle[side];
      const handle = setColours(createSvg("circle", { class: `handle ${side}`, cx: x1 + u * (x2 - x1), cy: y1 + v * (y2 - y1), r: HANDLE * this.scale }), item.colours);
      handle.dataset.side = side;
      return handle;
    });
    return [border, outline, ...handles];
  }

  /** Moves the keyboard focus to a box. */
  focus(number) {
    this.drawing.querySelector(`[data-number="${number}"]`)?.focus({ preventScroll: true });
  }

  point(event) {
    const { left, top, width, height } = this.drawing.getBoundingClientRect();
    return [((event.clientX - left) / width) * this.size[0], ((event.clientY - top) / height) * this.size[1]];
  }

  // A press on a handle resizes the selected box, one on a box moves it, and one beside the boxes draws a new one.
  grab(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.finish();
    const start = this.point(event);
    const { side, number } = event.target.dataset;
    if (number !== undefined) this.onSelect(Number(number));
    if (number === undefined && side === undefined) this.onSelect(null);
    const item = this.boxes.find((box) => box.number === this.selected) ?? null;
    const before = item ? [...item.box] : [...start, ...start];
    const drawn = item ?? { number: -1, name: "new", box: before, colours: ["#ffffff", "#000000"] };
    if (!item) this.boxes = [...this.boxes, drawn];
    else this.focus(item.number);
    this.drawing.setPointerCapture(event.pointerId);
    this.held = drawn;
    let far = false;
    const move = (moved) => {
      const now = this.point(moved);
      const by = [now[0] - start[0], now[1] - start[1]];
      far ||= Math.hypot(...by) > SMALLEST * this.scale;
      if (!far) return;
      drawn.box = item ? this.changed(before, side ?? "", by) : this.inside([Math.min(start[0], now[0]), Math.min(start[1], now[1]), Math.max(start[0], now[0]), Math.max(start[1], now[1])]);
      this.draw();
    };
    const end = (ended) => {
      for (const [name, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) this.drawing.removeEventListener(name, listener);
      this.held = null;
      if (!item) this.boxes = this.boxes.filter((box) => box !== drawn);
      const complete = far && ended.type === "pointerup";
      if (!complete && item) item.box = before;
      this.draw();
      if (complete && item) this.onMove(item.number, drawn.box);
      else if (complete && drawn.box[2] - drawn.box[0] > SMALLEST * this.scale && drawn.box[3] - drawn.box[1] > SMALLEST * this.scale) this.onDraw(drawn.box);
    };
    this.drawing.addEventListener("pointermove", move);
    this.drawing.addEventListener("pointerup", end);
    this.drawing.addEventListener("pointercancel", end);
  }

  // The arrow keys move the box that has the focus; with Shift they move its right and lower edges, with Alt ten times as far.
  nudge(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const item = this.boxes.find((box) => box.number === Number(event.target.dataset.number));
    if (!step || !item || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const far = (event.altKey ? 10 : 1) * Math.max(1, this.scale);
    if (this.pending?.item !== item) this.finish();
    item.box = this.changed(item.box, event.shiftKey ? "se" : "", [step[0] * far, step[1] * far]);
    this.held = item;
    clearTimeout(this.pending?.timer);
    this.pending = { item, timer: setTimeout(() => this.finish(), PAUSE) };
    this.draw();
  }

  /** Completes a change that is being made with keys. */
  finish() {
    if (!this.pending) return;
    const { item, timer } = this.pending;
    clearTimeout(timer);
    this.pending = this.held = null;
    this.onMove(item.number, item.box);
  }

  // The box after a handle, or with no side the whole box, was moved.
  changed([x1, y1, x2, y2], side, [dx, dy]) {
    const [width, height] = this.size;
    if (!side) {
      const x = clamp(dx, -x1, width - x2);
      const y = clamp(dy, -y1, height - y2);
      return [x1 + x, y1 + y, x2 + x, y2 + y];
    }
    const least = Math.max(1, SMALLEST * this.scale);
    const box = [x1, y1, x2, y2];
    if (side.includes("w")) box[0] = Math.min(x1 + dx, x2 - least);
    if (side.includes("n")) box[1] = Math.min(y1 + dy, y2 - least);
    if (side.includes("e")) box[2] = Math.max(x2 + dx, x1 + least);
    if (side.includes("s")) box[3] = Math.max(y2 + dy, y1 + least);
    return this.inside(box);
  }

  inside(box) {
    return box.map((edge, i) => clamp(edge, 0, this.size[i % 2]));
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
