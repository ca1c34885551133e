// An image with boxes, tags and a heat map over it. Outlines have a white border, so that they are visible on any image.

import { create, createSvg, setColours } from "./elements.js";
import { drawHeatMap, heatMap } from "./heat_map.js";

const NARROW = 460; // pixels; in a narrower image a tag shows the number of its phrase only

/**
 * Boxes are `{ box: [x1, y1, x2, y2], phrase, rank, extra, colours, label, gold }` in pixels of the image; `extra` ones
 * are not what the phrase refers to.
 * `onHighlight({ phrase, rank })` is called when the pointer enters a box, `onHighlight(null)` when it leaves;
 * `onSelect` is called in the same way when a box is clicked.
 */
export class AnnotatedImage {
  constructor({ onHighlight = null, onSelect = () => {}, tags = true, eager = false } = {}) {
    this.onHighlight = onHighlight;
    this.hasTags = tags;
    this.boxes = [];
    this.size = null;
    this.image = create("img", { alt: "", decoding: "async", loading: eager ? "eager" : "lazy", draggable: false });
    this.canvas = create("canvas", { "aria-hidden": "true" });
    this.outlines = createSvg("svg", { "aria-hidden": "true" });
    this.tags = create("div", { className: "tags", "aria-hidden": "true" });
    this.element = create("div", { className: tags ? "picture" : "picture slim" }, this.image, this.canvas, this.outlines, this.tags);
    new ResizeObserver(() => this.arrange()).observe(this.element);
    if (!onHighlight) return;
    this.outlines.addEventListener("pointerleave", () => onHighlight(null));
    this.outlines.addEventListener("click", (event) => {
      const clicked = this.boxes.find((item) => item.outline === event.target);
      onSelect(clicked ? { phrase: clicked.phrase, rank: clicked.rank } : null);
    });
  }

  /** Shows an image without boxes. `size` is the size in which boxes are given, `shape` the one to show the image in. */
  show(source, { size = null, shape = null, alt = "" } = {}) {
    this.size = size;
    this.image.alt = alt;
    if (source) this.image.src = source;
    this.setShape(shape ?? size);
    this.setBoxes([]);
    this.setHeatMap(null);
  }

  setShape(shape) {
    if (!shape) return;
    this.element.style.setProperty("--width", shape[0]);
    this.element.style.setProperty("--height", shape[1]);
  }

  /** Draws boxes, large ones first, so that the pointer reaches small ones. */
  setBoxes(boxes) {
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    this.boxes = [...boxes].sort((a, b) => area(b) - area(a));
    this.outlines.replaceChildren();
    this.tags.replaceChildren();
    for (const item of this.boxes) {
      const kind = item.gold ? "gold" : item.extra ? "rest" : "best";
      item.border = createSvg("rect", { class: `border ${kind}`, rx: 5 });
      item.outline = setColours(createSvg("rect", { class: `outline ${kind}`, rx: 5 }), item.colours);
      this.outlines.append(item.border, item.outline);
      if (this.onHighlight && !item.gold) {
        item.outline.addEventListener("pointerenter", () => this.onHighlight({ phrase: item.phrase, rank: item.rank }));
      }
      if (item.gold || !this.hasTags) continue;
      item.tag = setColours(create("span", { className: item.extra ? "tag extra" : "tag" }), item.colours);
      item.tag.append(create("b", { textContent: item.phrase + 1 }), create("span", { textContent: item.label }));
      this.tags.append(item.tag);
    }
    this.arrange();
  }

  /** Highlights the boxes of a phrase, or one of them, and dims the others; null highlights none. */
  highlight(target) {
    this.element.classList.toggle("dimmed", target !== null);
    for (const item of this.boxes) {
      const on = target !== null && item.phrase === target.phrase && (target.rank === undefined || item.gold || item.rank === target.rank);
      for (const part of [item.border, item.outline, item.tag]) part?.classList.toggle("on", on);
    }
    if (target !== null) this.arrange();
  }

  /** Shows a heat map over the image: `{ boxes, weights, colours }`, or null for none. */
  setHeatMap(heat) {
    this.element.classList.toggle("heat", heat !== null);
    if (heat) drawHeatMap(this.canvas, heatMap(heat.boxes, heat.weights, ...this.size), heat.colours);
  }

  /** Places the outlines and tags for the current size of the element. */
  arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!this.size || !width) return;
    this.element.classList.toggle("narrow", width < NARROW);
    this.placeOutlines(width, height);
    const placed = [];
    for (const item of this.boxes.filter(({ tag }) => tag && tag.offsetWidth)) {
      const place = tagPlace(item.place, item.tag.offsetWidth, item.tag.offsetHeight, placed, width, height);
      placed.push(place);
      item.tag.style.transform = `translate(${Math.round(place[0])}px, ${Math.round(place[1])}px)`;
    }
  }

  placeOutlines(width, height) {
    const scaleX = width / this.size[0];
    const scaleY = height / this.size[1];
    const placed = [];
    for (const item of this.boxes) {
      const [x1, y1, x2, y2] = item.box;
      let place = [x1 * scaleX, y1 * scaleY, x2 * scaleX, y2 * scaleY].map((edge, i) => clamp(edge, 2, (i % 2 ? height : width) - 2));
      // An outline that would cover an earlier one is drawn smaller.
      for (let n = 0; n < 6 && placed.some((other) => place.every((edge, i) => Math.abs(edge - other[i]) < 4)); n += 1) {
        place = [place[0] + 5, place[1] + 5, place[2] - 5, place[3] - 5];
      }
      placed.push(place);
      item.place = place;
      for (const part of [item.border, item.outline]) {
        part.setAttribute("x", place[0]);
        part.setAttribute("y", place[1]);
        part.setAttribute("width", Math.max(1, place[2] - place[0]));
        part.setAttribute("height", Math.max(1, place[3] - place[1]));
      }
    }
  }
}

// The place at a box, inside the image, where a tag overlaps the earlier tags least.
function tagPlace([x1, y1, x2, y2], tagWidth, tagHeight, placed, width, height) {
  const lefts = [x1, x2 - tagWidth, (x1 + x2 - tagWidth) / 2];
  const tops = [y1 - tagHeight + 2, y1 + 5, y2 - tagHeight - 5, y2 - 2];
  for (let n = 1; n < 6; n += 1) tops.push(y1 + 5 + n * (tagHeight + 3));
  let best = null;
  let lowestCost = Infinity;
  let rank = 0;
  for (const wantedTop of tops) {
    for (const wantedLeft of lefts) {
      const left = clamp(wantedLeft, 2, Math.max(2, width - tagWidth - 2));
      const top = clamp(wantedTop, 2, Math.max(2, height - tagHeight - 2));
      const place = [left, top, left + tagWidth, top + tagHeight];
      const covered = placed.reduce((sum, other) => sum + overlap(place, other), 0);
      const cost = covered + rank / 2 + (Math.abs(left - wantedLeft) + Math.abs(top - wantedTop)) / 4;
      if (cost < lowestCost) [best, lowestCost] = [place, cost];
      rank += 1;
    }
  }
  return best;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]) + 3) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]) + 3);
