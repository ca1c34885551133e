// The phrases of a grounded caption: their boxes in the image, their scores, and the heat maps of their words.

import { AnnotatedImage } from "./annotated_image.js";
import { renderCaption } from "./caption.js";
import { $, create, formatCount, setColours } from "./elements.js";

const TOP_CHOICES = [1, 2, 3, 5];

/** Shows a result of `api/ground` in `picture`, an `AnnotatedImage`, and beside it. */
export class PhrasesView {
  constructor({ palette, heat }) {
    this.palette = palette;
    this.heatColours = heat;
    this.result = null;
    this.top = 1;
    this.selected = null;
    const onHighlight = (target) => this.highlight(target);
    const onSelect = (target) => this.select(target);
    this.picture = new AnnotatedImage({ onHighlight, onSelect, eager: true });
    this.addTopChoices();
    $("min-score").oninput = $("absent").onchange = () => this.redraw();
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.select(null));
  }

  addTopChoices() {
    for (const top of TOP_CHOICES) {
      const choice = create("input", { type: "radio", name: "top", value: top, checked: top === this.top, id: `top-${top}` });
      choice.onchange = () => {
        this.top = top;
        this.redraw();
      };
      $("top-choices").append(choice, create("label", { htmlFor: `top-${top}`, textContent: top }));
    }
  }

  show(result) {
    const { photo, phrases, regions, seconds } = result;
    this.result = result;
    this.selected = null;
    this.picture.size = [photo.width, photo.height];
    this.picture.setShape(photo.shape);
    this.picture.setHeatMap(null);
    $("help").hidden = true;
    $("result").hidden = $("caption-line").hidden = false;
    this.setScoreRange();
    $("absent-option").hidden = phrases.every((phrase) => phrase.present);
    renderCaption($("caption-line"), {
      ...result,
      colours: this.palette,
      describe: (p) => this.describe(p),
      onHighlight: (target) => this.highlight(target),
      onSelect: (target) => this.select(target),
    });
    this.redraw();
    $("timing").textContent = `${seconds.toFixed(2)} s, ${formatCount(regions.length, "region")}`;
    $("ground-status").textContent = phrases.length
      ? `${formatCount(phrases.filter((phrase) => phrase.present).length, "phrase")} with a box`
      : "No phrase was found in this caption";
  }

  clear() {
    this.result = null;
    this.selected = null;
    this.picture.setBoxes([]);
    this.picture.setHeatMap(null);
    $("caption-line").hidden = $("result").hidden = true;
    $("help").hidden = false;
  }

  /** What the controls leave of the result, as fields of `api/export`. */
  get selection() {
    const least = this.minScore;
    return { top: this.top, least: Number.isFinite(least) ? least : null, absent: $("absent").checked };
  }

  setScoreRange() {
    const scores = this.result.phrases.flatMap((phrase) => phrase.scores);
    const low = Math.min(...scores, 0.999);
    const high = Math.max(...scores, low + 0.001);
    Object.assign($("min-score"), { min: low, max: high, step: (high - low) / 200 });
    $("min-score").value = low;
  }

  get minScore() {
    // At its lower end the slider keeps all boxes; its value there is rounded and may exceed the lowest score.
    const { value, min, step } = $("min-score");
    return Number(value) - Number(min) < Number(step) / 2 ? -Infinity : Number(value);
  }

  describe(p) {
    const { text, scores, present } = this.result.phrases[p];
    return `${text}: score ${scores[0]?.toFixed(2) ?? "none"}${present ? "" : ", probably absent"}`;
  }

  colours(p) {
    return this.palette[p % this.palette.length];
  }

  redraw() {
    if (!this.result) return;
    const minScore = this.minScore;
    $("min-score-value").textContent = Number.isFinite(minScore) ? minScore.toFixed(2) : "any";
    const boxes = [];
    const rows = this.result.phrases.map((phrase, p) => {
      const hasBoxes = phrase.present || $("absent").checked;
      // The boxes that a phrase such as “two people” refers to, and on request the best boxes.
      const best = this.top > 1 ? this.top : 0;
      const shown = (rank) => (rank < best || phrase.set_ranks.includes(rank)) && phrase.scores[rank] >= minScore;
      const kept = hasBoxes ? [...phrase.boxes.keys()].filter(shown) : [];
      for (const rank of kept) {
        const extra = !phrase.set_ranks.includes(rank);
        boxes.push({ box: phrase.boxes[rank], phrase: p, rank, extra, colours: this.colours(p), label: phrase.text });
      }
      $("caption-line").querySelector(`[data-phrase="${p}"]`)?.classList.toggle("absent", kept.length === 0);
      return this.phraseRow(phrase, p, kept);
    });
    $("phrases").replaceChildren(...rows);
    this.picture.setBoxes(boxes);
    this.highlight(null);
  }

  // A row of the list of phrases, with a button for each of its boxes.
  phraseRow(phrase, p, kept) {
    const best = Math.max(phrase.scores[0] ?? 0, 1e-6); // scores rank the boxes of one phrase
    const item = setColours(create("li", { className: kept.length ? "" : "absent" }), this.colours(p));
    item.append(create("b", { textContent: p + 1 }), create("span", { className: "phrase", textContent: phrase.text }));
    const list = create("div", { className: "ranked" });
    const note = (textContent) => list.append(create("span", { className: "fine", textContent }));
    if (!phrase.present) note(`Probably not in the image (probability ${Math.min(phrase.confidence, 0.494).toFixed(2)} that it is)`);
    else if (phrase.confidence !== null) note(`Probability ${phrase.confidence.toFixed(2)} that it is in the image`);
    for (const rank of kept) {
      const score = phrase.scores[rank];
      const bar = create("i");
      bar.style.setProperty("--share", Math.max(0, score / best));
      const button = create("button", { type: "button", className: "rank", "aria-label": `${phrase.text}, box ${rank + 1}, score ${score.toFixed(2)}` }, bar, create("span", { textContent: `score ${score.toFixed(2)}` }));
      button.dataset.phrase = p;
      button.dataset.rank = rank;
      button.onpointerenter = button.onfocus = () => this.highlight({ phrase: p, rank });
      button.onpointerleave = button.onblur = () => this.highlight(null);
      button.onclick = () => this.select({ phrase: p, rank });
      list.append(button);
    }
    if (phrase.present && !kept.length) note("No box has this score");
    if (phrase.unknown.length) note(`A guess: unknown ${phrase.unknown.join(", ")}`);
    item.append(list);
    return item;
  }

  /** Keeps a phrase or box highlighted until it is selected again; null clears the selection. */
  select(target) {
    const same = target && this.selected && target.phrase === this.selected.phrase && target.rank === this.selected.rank;
    this.selected = same ? null : target;
    for (const chip of $("caption-line").querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", this.selected?.phrase === Number(chip.dataset.phrase));
    }
    this.highlight(null);
  }

  /** Highlights a phrase, box or word `{ phrase, rank, word }`, with a heat map for words; null shows the selection. */
  highlight(target) {
    if (!this.result) return;
    const shown = target ?? this.selected;
    this.picture.highlight(shown?.phrase === undefined ? null : shown);
    const isBox = shown && shown.rank !== undefined;
    this.picture.setHeatMap(shown && !isBox ? this.heat(shown) : null);
    for (const element of document.querySelectorAll("#caption-line .chip, #phrases .rank")) {
      const samePhrase = shown?.phrase === Number(element.dataset.phrase);
      const sameRank = !isBox || element.dataset.rank === undefined || shown.rank === Number(element.dataset.rank);
      element.classList.toggle("on", samePhrase && sameRank);
    }
    for (const [w, word] of $("caption-line").querySelectorAll(".word").entries()) word.classList.toggle("on", shown?.word === w);
  }

  // The attention weights of a word, or the mean over the words of a phrase.
  heat({ phrase, word }) {
    const { words, attention, phrases, regions } = this.result;
    const rows = word !== undefined ? [word] : words.flatMap(([start, end], w) => (start >= phrases[phrase].start && end <= phrases[phrase].end ? [w] : []));
    if (!rows.length) return null;
    const weights = regions.map((_, r) => rows.reduce((sum, w) => sum + attention[w][r], 0) / rows.length);
    return { boxes: regions, weights, colours: this.heatColours };
  }
}
