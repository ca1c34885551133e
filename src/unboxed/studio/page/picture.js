// A image with boxes over it: outlines that can be told apart on any image, tags, and heat.

import { draw, make, paint } from "./elements.js";
import { drawHeat, heatMap } from "./heat.js";

const NARROW = 460; // pixels; a narrower picture has numbers for tags

/**
 * A box to draw: `{ box: [x1, y1, x2, y2], phrase, rank, colours, label, gold }` in pixels of the image.
 * `point({ phrase, rank })` is called when a box is pointed at, `point(null)` when none is; `pin` likewise for a press.
 */
export class Picture {
  constructor({ point = null, pin = () => {}, tags = true, eager = false } = {}) {
    this.point = point;
    this.tags = tags;
    this.boxes = [];
    this.size = null;
    this.image = make("img", { alt: "", decoding: "async", loading: eager ? "eager" : "lazy", draggable: false });
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.lines = draw("svg", { "aria-hidden": "true" });
    this.labels = make("div", { className: "tags", "aria-hidden": "true" });
    this.element = make("div", { className: tags ? "picture" : "picture slim" }, this.image, this.canvas, this.lines, this.labels);
    new ResizeObserver(() => this.arrange()).observe(this.element);
    if (!point) return;
    this.lines.addEventListener("pointerleave", () => point(null));
    this.lines.addEventListener("click", (event) => {
      const pressed = this.boxes.find((one) => one.line === event.target);
      pin(pressed ? { phrase: pressed.phrase, rank: pressed.rank } : null);
    });
  }

  /** Shows an image; `size` is the one that boxes count in, `shape` the one that it is shown in. */
  show(source, { size = null, shape = null, alt = "" } = {}) {
    this.size = size;
    this.image.alt = alt;
    if (source) this.image.src = source;
    this.setShape(shape ?? size);
    this.setBoxes([]);
    this.setHeat(null);
  }

  setShape(shape) {
    if (!shape) return;
    this.element.style.setProperty("--width", shape[0]);
    this.element.style.setProperty("--height", shape[1]);
  }

  /** Draws boxes, large ones first, so that small ones can be pointed at. */
  setBoxes(boxes) {
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    this.boxes = [...boxes].sort((a, b) => area(b) - area(a));
    this.lines.replaceChildren();
    this.labels.replaceChildren();
    for (const one of this.boxes) {
      const kind = one.gold ? "gold" : one.rank ? "rest" : "best";
      one.halo = draw("rect", { class: `halo ${kind}`, rx: 5 });
      one.line = paint(draw("rect", { class: `outline ${kind}`, rx: 5 }), one.colours);
      this.lines.append(one.halo, one.line);
      if (this.point && !one.gold) one.line.addEventListener("pointerenter", () => this.point({ phrase: one.phrase, rank: one.rank }));
      if (one.gold || !this.tags) continue;
      one.tag = paint(make("span", { className: one.rank ? "tag extra" : "tag" }), one.colours);
      one.tag.append(make("b", { textContent: one.phrase + 1 }), make("span", { textContent: one.label }));
      this.labels.append(one.tag);
    }
    this.arrange();
  }

  /** Puts one phrase, or one of its boxes, before the others; null takes all alike. */
  light(target) {
    this.element.classList.toggle("lit", target !== null);
    for (const one of this.boxes) {
      const hit = target !== null && one.phrase === target.phrase && (target.rank === undefined || one.gold || one.rank === target.rank);
      for (const part of [one.halo, one.line, one.tag]) part?.classList.toggle("on", hit);
    }
    if (target !== null) this.arrange();
  }

  /** Lays heat over the image: `{ boxes, weights, colours }`, or null for none. */
  setHeat(heat) {
    this.element.classList.toggle("hot", heat !== null);
    if (heat) drawHeat(this.canvas, heatMap(heat.boxes, heat.weights, ...this.size), heat.colours);
  }

  arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!this.size || !width) return;
    this.element.classList.toggle("narrow", width < NARROW);
    const across = width / this.size[0];
    const down = height / this.size[1];
    const drawn = [];
    const placed = [];
    for (const one of this.boxes) {
      const [x1, y1, x2, y2] = one.box;
      let spot = [x1 * across, y1 * down, x2 * across, y2 * down].map((edge, i) => clamp(edge, 2, (i % 2 ? height : width) - 2));
      // Drawn in so far that it does not hide a box of the same extent.
      for (let n = 0; n < 6 && drawn.some((other) => spot.every((edge, i) => Math.abs(edge - other[i]) < 4)); n += 1) {
        spot = [spot[0] + 5, spot[1] + 5, spot[2] - 5, spot[3] - 5];
      }
      drawn.push(spot);
      one.spot = spot;
      for (const part of [one.halo, one.line]) {
        part.setAttribute("x", spot[0]);
        part.setAttribute("y", spot[1]);
        part.setAttribute("width", Math.max(1, spot[2] - spot[0]));
        part.setAttribute("height", Math.max(1, spot[3] - spot[1]));
      }
    }
    for (const one of this.boxes.filter((box) => box.tag && box.tag.offsetWidth)) {
      const place = this.room(one.spot, one.tag.offsetWidth, one.tag.offsetHeight, placed, width, height);
      placed.push(place);
      one.tag.style.transform = `translate(${Math.round(place[0])}px, ${Math.round(place[1])}px)`;
    }
  }

  // The place at the box, inside the picture, where a tag covers least of the tags before it.
  room([x1, y1, x2, y2], wide, high, placed, width, height) {
    const lefts = [x1, x2 - wide, (x1 + x2 - wide) / 2];
    const tops = [y1 - high + 2, y1 + 5, y2 - high - 5, y2 - 2];
    for (let n = 1; n < 6; n += 1) tops.push(y1 + 5 + n * (high + 3));
    let best = null;
    let least = Infinity;
    let rank = 0;
    for (const wishedTop of tops) {
      for (const wishedLeft of lefts) {
        const left = clamp(wishedLeft, 2, Math.max(2, width - wide - 2));
        const top = clamp(wishedTop, 2, Math.max(2, height - high - 2));
        const place = [left, top, left + wide, top + high];
        const hidden = placed.reduce((sum, other) => sum + overlap(place, other), 0);
        const cost = hidden + rank / 2 + (Math.abs(left - wishedLeft) + Math.abs(top - wishedTop)) / 4;
        if (cost < least) [best, least] = [place, cost];
        rank += 1;
      }
    }
    return best;
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]) + 3) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]) + 3);
