// The first view: an image, a caption, and where each phrase is.

import { Problem, get, pictureOf, send } from "./api.js";
import { speak } from "./caption.js";
import { $, alarm, count, make, number, paint } from "./elements.js";
import { Picture } from "./picture.js";

const RANKS = [1, 2, 3, 5];
const MOST = 10; // boxes a phrase that are asked for
const PAGE = 60;

export class GroundView {
  constructor(facts) {
    this.facts = facts;
    this.photo = null; // { file, id, name, url }
    this.answer = null;
    this.top = 1;
    this.pinned = null;
    this.picture = new Picture({ point: (target) => this.point(target), pin: (target) => this.pin(target), eager: true });
    $("picture").append(this.picture.element);
    this.listen();
    this.fillChoices();
    if (facts.photos) this.folder = new Folder((photo) => this.take(photo));
  }

  listen() {
    $("choose").onclick = $("choose-too").onclick = () => $("file").click();
    $("file").onchange = () => {
      if ($("file").files.length) this.takeFile($("file").files[0]);
      $("file").value = "";
    };
    $("composer").onsubmit = (event) => {
      event.preventDefault();
      this.ground();
    };
    const caption = $("caption");
    caption.maxLength = this.facts.limits.caption;
    caption.oninput = () => {
      caption.style.height = "auto";
      caption.style.height = `${caption.scrollHeight}px`;
    };
    caption.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ground();
    };
    const main = $("main");
    const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let inside = 0;
    const over = (by) => {
      inside = Math.max(0, inside + by);
      $("stage").classList.toggle("over", inside > 0);
    };
    document.addEventListener("dragenter", (event) => hasFile(event) && over(1));
    document.addEventListener("dragleave", (event) => hasFile(event) && over(-1));
    document.addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      over(-inside);
      main.dispatchEvent(new CustomEvent("wanted", { detail: "ground" }));
      if (event.dataTransfer.files.length) this.takeFile(event.dataTransfer.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (file) this.takeFile(file);
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.pin(null));
  }

  fillChoices() {
    const { limits, formats } = this.facts;
    $("limits").textContent = `JPEG, PNG, WebP, GIF, BMP or TIFF, up to ${number(limits.bytes / 1e6)} MB`;
    $("or-pick").textContent = this.facts.photos ? ", paste one, or pick one below" : ", or paste one";
    for (const top of RANKS) {
      const choice = make("input", { type: "radio", name: "top", value: top, checked: top === this.top, id: `top-${top}` });
      choice.onchange = () => {
        this.top = top;
        this.redraw();
      };
      $("ranks").append(choice, make("label", { htmlFor: `top-${top}`, textContent: top }));
    }
    $("floor").oninput = $("absent").onchange = () => this.redraw();
    for (const [form, label] of Object.entries(formats)) {
      $("downloads").append(make("button", { type: "button", className: "quiet little", textContent: label, onclick: () => this.download(form) }));
    }
  }

  takeFile(file) {
    const { bytes } = this.facts.limits;
    if (file.type && !file.type.startsWith("image/")) return this.complain(`${file.name} is not an image.`);
    if (file.size > bytes) {
      return this.complain(`${file.name} has ${number(Math.round(file.size / 1e5) / 10)} MB; at most ${number(bytes / 1e6)} MB are read. Give a smaller copy.`);
    }
    return this.take({ file, name: file.name });
  }

  /** Takes an image `{ file, name }` or `{ id, name, size, shape }` and grounds the caption that is there. */
  async take(photo, caption = null) {
    this.forget();
    if (this.photo?.file) URL.revokeObjectURL(this.photo.url);
    this.photo = { ...photo, url: photo.file ? URL.createObjectURL(photo.file) : pictureOf(photo.id, "full") };
    if (caption !== null) {
      $("caption").value = caption;
      $("caption").oninput();
    }
    const taken = this.photo;
    if (!(await this.show(taken)) || this.photo !== taken) return;
    this.folder?.choose(photo.id ?? null);
    if ($("caption").value.trim()) await this.ground();
    else $("caption").focus({ preventScroll: true });
  }

  async show(photo) {
    this.complain("");
    const image = this.picture.image;
    this.picture.show(photo.url, { alt: photo.name, shape: photo.shape });
    try {
      await image.decode();
    } catch {
      if (this.photo !== photo) return false;
      try {
        // Either no image at all, or one that this browser does not know: then the service shows it.
        if (!photo.file) throw new Problem(404, "The image is not at hand; choose another one.");
        photo.url = URL.createObjectURL(await send("api/picture", { photo: photo.file }));
        image.src = photo.url;
        await image.decode();
      } catch (problem) {
        if (this.photo === photo) this.clear();
        this.complain(problem.message);
        return false;
      }
    }
    if (!photo.shape) this.picture.setShape([image.naturalWidth, image.naturalHeight]);
    $("drop").hidden = true;
    $("picture").hidden = false;
    return true;
  }

  clear() {
    this.photo = null;
    this.forget();
    $("drop").hidden = false;
    $("picture").hidden = true;
  }

  forget() {
    this.answer = null;
    this.pinned = null;
    this.asking?.abort();
    this.picture.setBoxes([]);
    this.picture.setHeat(null);
    $("spoken").hidden = $("found").hidden = true;
    $("explain").hidden = false;
  }

  async ground() {
    const caption = $("caption").value.trim();
    if (!this.photo) return this.complain("There is no image yet; drop one, or choose one.");
    if (!caption) {
      $("caption").focus();
      return this.complain("There is no caption yet; say what is in the image.");
    }
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.complain("");
    this.busy(true);
    try {
      const answer = await this.withPhoto("api/ground", { caption, top: MOST }, asking.signal);
      this.accept(JSON.parse(await answer.text()));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      const action = problem.status === 422 ? null : { label: "Try again", run: () => this.ground() };
      this.complain(problem.message, action);
    } finally {
      if (this.asking === asking) this.busy(false);
    }
  }

  // Sends a form about the image: its id where the service knows it, and the whole of it where it does not.
  async withPhoto(path, fields, signal) {
    const { file, id, name } = this.photo;
    const progress = (share) => {
      $("upload").value = share;
      if (share >= 1) $("upload").removeAttribute("value");
    };
    if (id) {
      try {
        return await send(path, { ...fields, photo_id: id }, { signal });
      } catch (problem) {
        if (problem.status !== 404 || !file) throw problem;
      }
    }
    return send(path, { ...fields, photo: file, name: path.includes("export") ? name : null }, { progress, signal });
  }

  busy(yes) {
    $("upload").hidden = !yes;
    $("upload").value = 0;
    $("stage").classList.toggle("working", yes);
    $("stage").setAttribute("aria-busy", yes);
    if (yes) $("ground-status").textContent = "Looking";
  }

  complain(message, action = null) {
    alarm($("ground-alert"), message, action);
  }

  accept(answer) {
    this.answer = answer;
    this.pinned = null;
    this.photo.id = answer.photo.id;
    this.picture.size = [answer.photo.width, answer.photo.height];
    this.picture.setShape(answer.photo.shape);
    this.picture.setHeat(null);
    $("explain").hidden = true;
    $("found").hidden = $("spoken").hidden = false;
    this.setFloor();
    $("absent-choice").hidden = answer.phrases.every((phrase) => phrase.present);
    speak($("spoken"), {
      ...answer,
      colours: this.facts.palette,
      describe: (p) => this.described(p),
      point: (target) => this.point(target),
      pin: (target) => this.pin(target),
    });
    this.redraw();
    $("took").textContent = `${answer.seconds.toFixed(2)} s, ${count(answer.regions.length, "region")} compared`;
    $("ground-status").textContent = answer.phrases.length
      ? `${count(answer.phrases.filter((phrase) => phrase.present).length, "phrase")} boxed`
      : "No phrase was found in this caption";
    if (!answer.phrases.length) this.complain("No phrase names a thing in this caption; try one with nouns, such as “a dog on the grass”.");
  }

  setFloor() {
    const scores = this.answer.phrases.flatMap((phrase) => phrase.scores);
    const low = Math.min(...scores, 0.999);
    const high = Math.max(...scores, low + 0.001);
    const floor = $("floor");
    const step = (high - low) / 200;
    Object.assign(floor, { min: low, max: high, step });
    floor.value = low;
  }

  get floor() {
    // The lowest notch takes all: a range cannot say its own end exactly.
    const { value, min, step } = $("floor");
    return Number(value) - Number(min) < Number(step) / 2 ? -Infinity : Number(value);
  }

  described(p) {
    const { text, scores, present } = this.answer.phrases[p];
    return `${text}: score ${scores[0]?.toFixed(2) ?? "none"}${present ? "" : ", seems absent"}`;
  }

  colours(p) {
    return this.facts.palette[p % this.facts.palette.length];
  }

  redraw() {
    if (!this.answer) return;
    const floor = this.floor;
    $("floor-value").textContent = Number.isFinite(floor) ? floor.toFixed(2) : "any";
    const boxes = [];
    const rows = this.answer.phrases.map((phrase, p) => {
      const wanted = phrase.present || $("absent").checked;
      const kept = wanted ? phrase.scores.slice(0, this.top).filter((score) => score >= floor).length : 0;
      phrase.boxes.slice(0, kept).forEach((box, rank) => boxes.push({ box, phrase: p, rank, colours: this.colours(p), label: phrase.text }));
      const chip = $("spoken").querySelector(`[data-phrase="${p}"]`);
      chip?.classList.toggle("absent", kept === 0);
      return this.row(phrase, p, kept);
    });
    $("phrases").replaceChildren(...rows);
    this.picture.setBoxes(boxes);
    this.rest();
  }

  // A phrase of the list, with a button for each of its boxes.
  row(phrase, p, kept) {
    const best = Math.max(...this.answer.phrases.map((one) => one.scores[0] ?? 0), 1e-6);
    const item = paint(make("li", { className: kept ? "" : "absent" }), this.colours(p));
    item.append(make("b", { textContent: p + 1 }), make("span", { className: "said", textContent: phrase.text }));
    const list = make("div", { className: "ranked" });
    for (let rank = 0; rank < kept; rank += 1) {
      const score = phrase.scores[rank];
      const bar = make("i");
      bar.style.setProperty("--share", Math.max(0, score / best));
      const button = make("button", { type: "button", className: "rank", "aria-label": `${phrase.text}, box ${rank + 1}, score ${score.toFixed(2)}` }, bar, make("span", { textContent: score.toFixed(2) }));
      button.dataset.phrase = p;
      button.dataset.rank = rank;
      button.onpointerenter = button.onfocus = () => this.point({ phrase: p, rank });
      button.onpointerleave = button.onblur = () => this.point(null);
      button.onclick = () => this.pin({ phrase: p, rank });
      list.append(button);
    }
    if (!phrase.present) list.append(make("span", { className: "fine", textContent: `Seems absent (${Math.round(100 * phrase.confidence)} % likely to be there)` }));
    else if (!kept) list.append(make("span", { className: "fine", textContent: "No box scores as much" }));
    item.append(list);
    return item;
  }

  /** Keeps what is pointed at, until it is pressed again. */
  pin(target) {
    const same = target && this.pinned && target.phrase === this.pinned.phrase && target.rank === this.pinned.rank;
    this.pinned = same ? null : target;
    for (const chip of $("spoken").querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", this.pinned?.phrase === Number(chip.dataset.phrase));
    }
    this.rest();
  }

  rest() {
    this.point(null);
  }

  /** Shows one phrase, box or word: its boxes before the others, and where its words look. */
  point(target) {
    if (!this.answer) return;
    const shown = target ?? this.pinned;
    this.picture.light(shown?.phrase === undefined ? null : shown);
    const ofBox = shown && shown.rank !== undefined;
    this.picture.setHeat(shown && !ofBox ? this.heat(shown) : null);
    for (const element of document.querySelectorAll("#spoken .chip, #phrases .rank")) {
      const own = shown?.phrase === Number(element.dataset.phrase);
      element.classList.toggle("on", own && (shown.rank === undefined || element.dataset.rank === undefined || shown.rank === Number(element.dataset.rank)));
    }
    for (const [w, word] of $("spoken").querySelectorAll(".word").entries()) word.classList.toggle("on", shown?.word === w);
  }

  heat({ phrase, word }) {
    const { words, attention, phrases, regions } = this.answer;
    const rows = word !== undefined ? [word] : words.flatMap(([start, end], w) => (start >= phrases[phrase].start && end <= phrases[phrase].end ? [w] : []));
    if (!rows.length) return null;
    const weights = regions.map((_, r) => rows.reduce((sum, w) => sum + attention[w][r], 0) / rows.length);
    return { boxes: regions, weights, colours: this.facts.heat };
  }

  async download(form) {
    const floor = this.floor;
    const fields = { caption: this.answer.caption, top: this.top, least: Number.isFinite(floor) ? floor : null, absent: $("absent").checked };
    try {
      const file = await this.withPhoto(`api/export/${form}`, fields);
      const stem = this.photo.name.split("/").pop().replace(/\.[^.]*$/, "");
      const url = URL.createObjectURL(file);
      make("a", { href: url, download: `${stem}.${form === "coco" ? "coco.json" : form}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (problem) {
      this.complain(problem.message, { label: "Try again", run: () => this.download(form) });
    }
  }
}

// The images that can be picked, by name.
class Folder {
  constructor(take) {
    this.take = take;
    this.chosen = null;
    $("folder").hidden = false;
    $("folder-more").onclick = () => this.load(false);
    let soon = 0;
    $("folder-filter").oninput = () => {
      clearTimeout(soon);
      soon = setTimeout(() => this.load(true), 250);
    };
    this.load(true);
  }

  async load(anew) {
    const start = anew ? 0 : $("shelf").children.length;
    const { photos, total } = await get("api/photos", { start, count: PAGE, name: $("folder-filter").value }).catch(() => ({ photos: [], total: 0 }));
    const items = photos.map(({ id, name }) => {
      const image = make("img", { src: pictureOf(id, "thumbnail"), alt: name, loading: "lazy", decoding: "async" });
      const button = make("button", { type: "button", title: name, "aria-pressed": String(id === this.chosen) }, image);
      button.dataset.id = id;
      button.onclick = () => this.take({ id, name });
      return make("li", {}, button);
    });
    if (anew) $("shelf").replaceChildren(...items);
    else $("shelf").append(...items);
    $("folder-more").hidden = $("shelf").children.length >= total;
    $("folder-count").textContent = count(total, "image");
  }

  choose(id) {
    this.chosen = id;
    for (const button of $("shelf").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.id === id));
  }
}
