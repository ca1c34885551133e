// The review page: which boxes a cut keeps, and corrections, which are offered as a file for download.

import { CorrectView } from "./correct.js";
import { $, create, formatCount, formatNumber } from "./elements.js";
import { cleaned, correctImage, startImage } from "./replay.js";

const figures = [...document.querySelectorAll("figure")];

/** Listens to the sliders of the cut and to the buttons that show only images with a name. */
export function listenToFilters({ scores, confidences, low, high }) {
  const [cut, confidence, bars, buttons] = [$("cut"), $("confidence"), [...document.querySelectorAll(".cut rect")], [...document.querySelectorAll(".only button")]];
  const show = () => {
    const least = Number(cut.value);
    const leastConfidence = Number(confidence.value);
    for (const part of document.querySelectorAll("[data-score]")) {
      const score = Number(part.dataset.score);
      // The boxes of a corrected image stay whatever the cut.
      const fixed = part.closest("figure").classList.contains("corrected");
      const out = fixed ? part.dataset.label === undefined : score < least || Number(part.dataset.confidence ?? 1) < leastConfidence;
      part.classList.toggle("off", out);
      part.classList.toggle("low", !out && !fixed && score < least + 0.1 * (high - low));
    }
    bars.forEach((bar, i) => bar.classList.toggle("off", low + ((i + 1) / bars.length) * (high - low) <= least));
    const kept = scores.filter((score, i) => score >= least && confidences[i] >= leastConfidence).length;
    $("kept").textContent = `--min-score ${least.toFixed(2)}${confidence.closest("[hidden]") ? "" : ` --min-confidence ${leastConfidence.toFixed(2)}`} keeps ${formatNumber(kept)} of ${formatCount(scores.length, "box", "boxes")}`;
    $("share").textContent = scores.length ? `(${Math.round((100 * kept) / scores.length)} %)` : "";
  };
  const choose = (chosen) => {
    const only = chosen.getAttribute("aria-pressed") === "true" ? null : chosen.dataset.name;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.name === only));
    for (const figure of figures) figure.hidden = only !== null && ![...figure.querySelectorAll("li")].some((row) => row.dataset.name === only);
  };
  for (const slider of [cut, confidence]) slider.addEventListener("input", show);
  for (const button of buttons) button.addEventListener("click", () => choose(button));
  for (const figure of figures) listenToRows(figure);
  show();
  return show;
}

// The row under the pointer or with the focus shows its box alone.
function listenToRows(figure) {
  const single = (row) => {
    figure.classList.toggle("focus", Boolean(row));
    for (const part of figure.querySelectorAll("[data-box]")) part.classList.toggle("on", Boolean(row) && part.dataset.box === row.dataset.box);
  };
  const list = figure.querySelector("ol");
  list.addEventListener("pointerover", (event) => single(event.target.closest("li[data-box]")));
  list.addEventListener("pointerleave", () => single(null));
  list.addEventListener("focusin", (event) => single(event.target.closest("li[data-box]")));
  list.addEventListener("focusout", () => single(null));
}

/**
 * Corrections of the images on the page, in the lines of a file that `label` reads.
 * `labels` are the images as they were written, `history` their corrections, `others` the lines of further images, and
 * `names` those that a box may have. `onChange` is called after a correction.
 */
export class Corrections {
  constructor({ labels, history, others, names, file }, onChange) {
    Object.assign(this, { labels, history, others, names, file, onChange });
    this.changed = new Set(); // positions of images that have changes to download
    this.images = labels.map((label, i) => history[i].reduce(correctImage, startImage(label)));
    $("download").addEventListener("click", () => this.download());
    addEventListener("beforeunload", (event) => this.changed.size && event.preventDefault());
  }

  async list(start, count) {
    const photos = this.labels.map(({ image }, i) => ({ id: i, name: image, checked: this.images[i].checked }));
    return { photos: photos.slice(start, start + count), names: this.names, checked: photos.filter(({ checked }) => checked).length, all: photos.length };
  }

  async image(i) {
    const { width, height, boxes, checked } = this.images[i];
    return { photo: { id: i, width, height }, captions: this.labels[i].captions, boxes, checked, changes: this.history[i].length };
  }

  async change({ photo: { id: i } }, { text, ...values }) {
    const line = { image: this.labels[i].image, ...values, ...(text === undefined ? {} : { text: cleaned(text) }) };
    const made = line.action === "undo" ? this.history[i].slice(0, -1) : [...this.history[i], line];
    this.images[i] = made.reduce(correctImage, startImage(this.labels[i]));
    this.history[i] = made;
    this.changed.add(i);
    this.onChange(i);
    return this.image(i);
  }

  picture(i) {
    return figures[i].querySelector("img").src;
  }

  download() {
    const lines = [{ format: "unboxed-corrections", version: 1 }, ...this.others];
    this.labels.forEach((label, i) => this.history[i].length && lines.push(label, ...this.history[i]));
    const content = new Blob(lines.map((line) => `${JSON.stringify(line)}\n`), { type: "application/x-ndjson" });
    create("a", { href: URL.createObjectURL(content), download: this.file }).click();
    this.changed.clear();
    this.onChange(null);
  }
}

/** Lets boxes be corrected on the cards of the images, and in a dialog. `show` draws what the cut keeps. */
export function listenToCorrections(data, palette, show) {
  const corrections = new Corrections(data, (i) => {
    if (i !== null) showCard(figures[i], corrections.images[i], corrections.history[i].length, palette.length);
    $("download").disabled = $("download-here").disabled = !corrections.changed.size;
    $("changed").textContent = corrections.changed.size ? `${formatCount(corrections.changed.size, "image")} changed, not yet downloaded.` : "";
    show();
  });
  const dialog = $("correct-dialog");
  const here = create("button", { id: "download-here", type: "button", className: "quiet little", textContent: "Download corrections", disabled: true, onclick: () => corrections.download() });
  const view = new CorrectView($("correct"), corrections, palette, here);
  $("which").value = "all";
  $("close").onclick = () => dialog.close();
  figures.forEach((figure, i) => {
    const open = (number) => {
      dialog.showModal();
      return view.openImage(i, number);
    };
    figure.addEventListener("click", async (event) => {
      const action = event.target.closest("button")?.dataset.action;
      const label = event.target.closest("li")?.dataset.label;
      const box = label === undefined ? undefined : Number(label);
      if (event.target.closest(".frame") || action === "correct") return open(box);
      const toggled = action === "check" && corrections.images[i].checked ? "uncheck" : action;
      if (action) await corrections.change(await corrections.image(i), { action: toggled, box });
    });
    showCard(figure, corrections.images[i], corrections.history[i].length, palette.length);
  });
  show();
}

// Draws the boxes of an image as they are now on its card: names, places, verdicts, and boxes that were added.
function showCard(figure, { width, height, boxes, checked }, changes, colours) {
  figure.classList.toggle("corrected", changes > 0);
  figure.querySelector("[data-action='undo']").disabled = !changes;
  figure.querySelector("[data-action='check']").setAttribute("aria-pressed", String(checked));
  for (const { number } of boxes) if (!figure.querySelector(`li[data-label="${number}"]`)) addRow(figure, number, colours);
  for (const part of figure.querySelectorAll("[data-label]")) {
    const box = boxes.find(({ number }) => number === Number(part.dataset.label));
    part.toggleAttribute("hidden", !box);
    if (!box) continue;
    part.classList.toggle("rejected", box.verdict === "rejected");
    if (part.matches("li")) {
      part.dataset.name = part.querySelector(".chip").textContent = part.querySelector(".chip").title = box.name;
      for (const button of part.querySelectorAll("button[aria-pressed]")) button.setAttribute("aria-pressed", String(box.verdict === `${button.dataset.action}ed`));
    }
    const [x1, y1, x2, y2] = box.box.map((edge, i) => (1000 * edge) / (i % 2 ? height : width));
    for (const rect of part.querySelectorAll("rect")) for (const [name, value] of Object.entries({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 })) rect.setAttribute(name, value);
  }
}

function addRow(figure, number, colours) {
  const { content } = $("added");
  for (const [part, place] of [["g", "svg"], ["li", "ol"]]) {
    const made = figure.querySelector(place).appendChild(document.importNode(content.querySelector(part), true));
    Object.assign(made.dataset, { label: number, box: `added-${number}` });
    made.classList.add(`c${number % colours}`);
  }
}
