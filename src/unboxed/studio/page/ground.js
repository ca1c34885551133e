// The view that grounds a caption in an image.

import { ApiError, pictureUrl, postForm } from "./api.js";
import { AnnotatedImage } from "./annotated_image.js";
import { annotatedPng } from "./annotated_png.js";
import { renderCaption } from "./caption.js";
import { $, create, formatCount, formatNumber, setColours, showAlert } from "./elements.js";
import { FolderView } from "./folder.js";

const TOP_CHOICES = [1, 2, 3, 5];
const MAX_TOP = 10; // boxes for each phrase in a response
const MAX_CAPTIONS = 20; // one a line

export class GroundView {
  constructor(info) {
    this.info = info;
    this.image = null; // { file, id, name, url, shape }
    this.result = null;
    this.top = 1;
    this.selected = null;
    const onHighlight = (target) => this.highlight(target);
    const onSelect = (target) => this.select(target);
    this.picture = new AnnotatedImage({ onHighlight, onSelect, eager: true });
    $("picture").append(this.picture.element);
    this.listenToForm();
    this.listenToDrops();
    this.addControls();
    if (info.photos) this.folder = new FolderView((image) => this.setImage(image));
  }

  listenToForm() {
    $("choose-file").onclick = $("choose-file-link").onclick = () => $("file").click();
    $("file").onchange = () => {
      if ($("file").files.length) this.setFile($("file").files[0]);
      $("file").value = "";
    };
    $("ground-form").onsubmit = (event) => {
      event.preventDefault();
      this.ground();
    };
    const caption = $("caption");
    caption.maxLength = this.info.limits.caption * MAX_CAPTIONS;
    caption.oninput = () => {
      caption.style.height = "auto";
      caption.style.height = `${caption.scrollHeight}px`;
    };
    caption.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ground();
    };
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.select(null));
  }

  listenToDrops() {
    const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let depth = 0; // of the elements that the pointer has entered
    const enter = (change) => {
      depth = Math.max(0, depth + change);
      $("stage").classList.toggle("over", depth > 0);
    };
    document.addEventListener("dragenter", (event) => hasFile(event) && enter(1));
    document.addEventListener("dragleave", (event) => hasFile(event) && enter(-1));
    document.addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      enter(-depth);
      $("main").dispatchEvent(new CustomEvent("showview", { detail: "ground" }));
      if (event.dataTransfer.files.length) this.setFile(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file) this.setFile(file);
    });
  }

  addControls() {
    const { limits, formats } = this.info;
    $("limits").textContent = `JPEG, PNG, WebP, GIF, BMP or TIFF, up to ${formatNumber(limits.bytes / 1e6)} MB`;
    $("or-paste").textContent = this.info.photos ? ", paste one, or pick one below" : ", or paste one";
    for (const top of TOP_CHOICES) {
      const choice = create("input", { type: "radio", name: "top", value: top, checked: top === this.top, id: `top-${top}` });
      choice.onchange = () => {
        this.top = top;
        this.redraw();
      };
      $("top-choices").append(choice, create("label", { htmlFor: `top-${top}`, textContent: top }));
    }
    $("min-score").oninput = $("absent").onchange = () => this.redraw();
    for (const [format, label] of Object.entries(formats)) {
      $("downloads").append(create("button", { type: "button", className: "quiet little", textContent: label, onclick: () => this.download(format) }));
    }
    $("downloads").append(create("button", { type: "button", className: "quiet little", textContent: "Picture", onclick: () => this.downloadPicture() }));
    $("link").onclick = () => this.copyLink();
  }

  setFile(file) {
    const { bytes } = this.info.limits;
    if (file.type && !file.type.startsWith("image/")) return this.showError(`${file.name} is not an image.`);
    if (file.size > bytes) {
      return this.showError(`${file.name} has ${formatNumber(Math.round(file.size / 1e5) / 10)} MB; the limit is ${formatNumber(bytes / 1e6)} MB. Use a smaller copy.`);
    }
    return this.setImage({ file, name: file.name });
  }

  /** Shows an image `{ file, name }` or `{ id, name, shape }` and grounds the caption, if there is one. */
  async setImage(image, caption = null) {
    this.reset();
    if (this.image?.file) URL.revokeObjectURL(this.image.url);
    this.image = { ...image, url: image.file ? URL.createObjectURL(image.file) : pictureUrl(image.id, "full") };
    if (caption !== null) {
      $("caption").value = caption;
      $("caption").oninput();
    }
    const current = this.image;
    if (!(await this.display(current)) || this.image !== current) return;
    this.folder?.markChosen(image.id ?? null);
    if ($("caption").value.trim()) await this.ground();
    else $("caption").focus({ preventScroll: true });
  }

  // Displays an image. Returns false when it cannot be displayed.
  async display(image) {
    this.showError("");
    const element = this.picture.image;
    this.picture.show(image.url, { alt: image.name, shape: image.shape });
    try {
      await element.decode();
    } catch {
      if (this.image !== image) return false;
      try {
        // The file is no image, or has a format that this browser does not support: the service can convert it.
        if (!image.file) throw new ApiError(404, "The image is no longer available; choose another one.");
        image.url = URL.createObjectURL(await postForm("api/picture", { photo: image.file }));
        element.src = image.url;
        await element.decode();
      } catch (error) {
        if (this.image === image) this.clear();
        this.showError(error.message);
        return false;
      }
    }
    if (!image.shape) this.picture.setShape([element.naturalWidth, element.naturalHeight]);
    $("drop-zone").hidden = true;
    $("picture").hidden = false;
    return true;
  }

  clear() {
    this.image = null;
    this.reset();
    $("drop-zone").hidden = false;
    $("picture").hidden = true;
  }

  // Removes the result and cancels a running request.
  reset() {
    this.result = null;
    this.selected = null;
    this.request?.abort();
    this.picture.setBoxes([]);
    this.picture.setHeatMap(null);
    $("caption-line").hidden = $("result").hidden = true;
    $("help").hidden = false;
  }

  /** The captions of the text field, one a line. */
  get captions() {
    return [...new Set($("caption").value.split("\n").map((line) => line.trim()).filter(Boolean))];
  }

  async ground() {
    const { captions } = this;
    const limit = this.info.limits.caption;
    if (!this.image) return this.showError("There is no image yet; drop or choose one.");
    if (!captions.length) {
      $("caption").focus();
      return this.showError("There is no caption yet; describe what is in the image.");
    }
    if (captions.length > MAX_CAPTIONS) return this.showError(`There are ${captions.length} captions; the limit is ${MAX_CAPTIONS}.`);
    const long = captions.find((caption) => caption.length > limit);
    if (long) return this.showError(`“${long.slice(0, 40)}…” has ${formatNumber(long.length)} characters; the limit of a caption is ${formatNumber(limit)}.`);
    this.request?.abort();
    const request = (this.request = new AbortController());
    this.showError("");
    this.setBusy(true);
    try {
      const results = [];
      for (const caption of captions) {
        const response = await this.postImage("api/ground", { caption, top: MAX_TOP }, request.signal);
        results.push(JSON.parse(await response.text()));
        this.image.id = results[0].photo.id;
      }
      this.showResults(results);
    } catch (error) {
      if (error.name === "AbortError") return;
      const action = error.status === 422 ? null : { label: "Try again", run: () => this.ground() };
      this.showError(error.message, action);
    } finally {
      if (this.request === request) this.setBusy(false);
    }
  }

  // Posts a form about the image: with its id if the service knows it, else with the file.
  async postImage(path, fields, signal) {
    const { file, id, name } = this.image;
    const progress = (fraction) => {
      $("upload").value = fraction;
      if (fraction >= 1) $("upload").removeAttribute("value");
    };
    if (id) {
      try {
        return await postForm(path, { ...fields, photo_id: id }, { signal });
      } catch (error) {
        if (error.status !== 404 || !file) throw error;
      }
    }
    return postForm(path, { ...fields, photo: file, name: path.includes("export") ? name : null }, { progress, signal });
  }

  setBusy(busy) {
    $("upload").hidden = !busy;
    $("upload").value = 0;
    $("stage").classList.toggle("working", busy);
    $("stage").setAttribute("aria-busy", busy);
    if (busy) $("ground-status").textContent = "Grounding";
  }

  showError(message, action = null) {
    showAlert($("ground-alert"), message, action);
  }

  // Shows the first caption, and with several a choice of them.
  showResults(results) {
    $("caption-choices").replaceChildren(...results.flatMap((result, i) => {
      const choice = create("input", { type: "radio", name: "caption-choice", value: i, checked: i === 0, id: `caption-${i}` });
      choice.onchange = () => this.showResult(result);
      return [choice, create("label", { htmlFor: `caption-${i}`, textContent: i + 1, title: result.caption })];
    }));
    $("caption-choice").hidden = results.length < 2;
    this.showResult(results[0]);
    if (!$("view-ground").hidden) history.replaceState(null, "", this.link);
  }

  showResult(result) {
    const { photo, phrases, regions, seconds } = result;
    this.result = result;
    this.selected = null;
    this.image.id = photo.id;
    if (!this.image.file) this.image.name = photo.name;
    $("link").hidden = Boolean(this.image.file);
    $("link-status").textContent = "";
    this.picture.size = [photo.width, photo.height];
    this.picture.setShape(photo.shape);
    this.picture.setHeatMap(null);
    $("help").hidden = true;
    $("result").hidden = $("caption-line").hidden = false;
    this.setScoreRange();
    $("absent-option").hidden = phrases.every((phrase) => phrase.present);
    renderCaption($("caption-line"), {
      ...result,
      colours: this.info.palette,
      describe: (p) => this.describe(p),
      onHighlight: (target) => this.highlight(target),
      onSelect: (target) => this.select(target),
    });
    this.redraw();
    $("timing").textContent = `${seconds.toFixed(2)} s, ${formatCount(regions.length, "region")}`;
    $("ground-status").textContent = phrases.length
      ? `${formatCount(phrases.filter((phrase) => phrase.present).length, "phrase")} with a box`
      : "No phrase was found in this caption";
    this.showError("");
    if (!phrases.length) this.showError("This caption has no noun phrase; try one with nouns, such as “a dog on the grass”.");
  }

  /** The address of this view with the captions and, where the studio has the file, the image. It is never sent. */
  get link() {
    const { id, file } = this.image;
    return `#ground?${new URLSearchParams({ ...(file ? {} : { image: id }), caption: this.captions.join("\n") })}`;
  }

  /** Shows what a link has: `#ground?image=ID&caption=TEXT`. */
  openLink(query) {
    const given = new URLSearchParams(query);
    const caption = given.get("caption") ?? "";
    if (given.get("image")) return this.setImage({ id: given.get("image"), name: "The image" }, caption);
    $("caption").value = caption;
    return $("caption").oninput();
  }

  async copyLink() {
    const shown = `${location.href.split("#")[0]}${this.link}`;
    try {
      await navigator.clipboard.writeText(shown);
      $("link-status").textContent = "copied";
    } catch {
      history.replaceState(null, "", this.link);
      $("link-status").textContent = "it is in the address bar";
    }
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
    return this.info.palette[p % this.info.palette.length];
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
    const best = Math.max(...this.result.phrases.map(({ scores }) => scores[0] ?? 0), 1e-6);
    const item = setColours(create("li", { className: kept.length ? "" : "absent" }), this.colours(p));
    item.append(create("b", { textContent: p + 1 }), create("span", { className: "phrase", textContent: phrase.text }));
    const list = create("div", { className: "ranked" });
    for (const rank of kept) {
      const score = phrase.scores[rank];
      const bar = create("i");
      bar.style.setProperty("--share", Math.max(0, score / best));
      const button = create("button", { type: "button", className: "rank", "aria-label": `${phrase.text}, box ${rank + 1}, score ${score.toFixed(2)}` }, bar, create("span", { textContent: score.toFixed(2) }));
      button.dataset.phrase = p;
      button.dataset.rank = rank;
      button.onpointerenter = button.onfocus = () => this.highlight({ phrase: p, rank });
      button.onpointerleave = button.onblur = () => this.highlight(null);
      button.onclick = () => this.select({ phrase: p, rank });
      list.append(button);
    }
    if (!phrase.present) list.append(create("span", { className: "fine", textContent: `Probably not in the image (probability ${Math.min(phrase.confidence, 0.494).toFixed(2)} that it is)` }));
    else if (!kept.length) list.append(create("span", { className: "fine", textContent: "No box has this score" }));
    if (phrase.unknown.length) list.append(create("span", { className: "fine", textContent: `A guess: unknown ${phrase.unknown.join(", ")}` }));
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
    return { boxes: regions, weights, colours: this.info.heat };
  }

  async download(format) {
    const minScore = this.minScore;
    const name = this.image.name.slice(-200);
    const fields = { caption: this.result.caption, name, top: this.top, least: Number.isFinite(minScore) ? minScore : null, absent: $("absent").checked };
    try {
      const file = await this.postImage(`api/export/${format}`, fields);
      this.save(file, format === "coco" ? "coco.json" : format);
    } catch (error) {
      this.showError(error.message, { label: "Try again", run: () => this.download(format) });
    }
  }
  // The picture with the boxes that are shown, above the caption.
  async downloadPicture() {
    try {
      this.save(await annotatedPng(this.picture, this.result, (p) => this.colours(p)), "boxes.png");
    } catch (error) {
      this.showError(error.message);
    }
  }

  save(content, ending) {
    const stem = this.image.name.split("/").pop().replace(/\.[^.]*$/, "");
    const url = URL.createObjectURL(content);
    create("a", { href: url, download: `${stem}.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
