// The view that corrects the boxes of `unboxed label`.

import { getJson, pictureUrl, sendJson } from "./api.js";
import { BoxEditor } from "./box_editor.js";
import { $, create, formatCount, formatNumber, setColours, showAlert } from "./elements.js";

const PAGE = 200;

export class CorrectView {
  constructor(info) {
    this.info = info;
    this.entries = []; // of the list, in the order of review
    this.position = -1;
    this.image = null;
    this.selected = null;
    this.waiting = Promise.resolve(); // changes are sent one after another
    this.listed = false;
    $("no-labels").hidden = info.labels !== null;
    $("correct-bar").hidden = $("correct-workbench").hidden = info.labels === null;
    if (info.labels === null) return;
    this.editor = new BoxEditor({
      onSelect: (number) => this.select(number),
      onMove: (number, edges) => this.change({ action: "move", box: number, edges }),
      onDraw: (edges) => this.add(edges),
    });
    $("editor").append(this.editor.element);
    $("which").onchange = () => this.go(0, 1);
    $("previous-image").onclick = () => this.go(this.position - 1, -1);
    $("next-image").onclick = () => this.go(this.position + 1, 1);
    $("add-box").onclick = () => this.addInTheMiddle();
    $("undo").onclick = () => this.change({ action: "undo" });
    $("checked").onclick = () => this.check();
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Called when the view is shown; the first time, it loads the list of images. */
  async onShown() {
    if (this.info.labels === null || this.listed) return;
    this.listed = true;
    await this.go(0, 1);
  }

  // Loads further entries of the list. Returns false at its end.
  async more() {
    const list = await getJson("api/labels", { start: this.entries.length, count: PAGE });
    this.entries.push(...list.photos);
    this.names = list.names;
    this.showProgress(list);
    return list.photos.length > 0;
  }

  showProgress({ checked, all, precision }) {
    $("correct-about").textContent = `${formatNumber(checked)} of ${formatCount(all, "image")} checked${precision ? `; ${precision}` : ""}`;
  }

  // Shows the next image of the chosen kind from a position on, in the direction of `step`.
  async go(position, step) {
    this.editor.finish();
    try {
      await this.waiting;
      for (let at = position; at >= 0; at += step) {
        if (at >= this.entries.length && !(await this.more())) break;
        const { checked } = this.entries[at];
        if ($("which").value === "all" || checked === ($("which").value === "checked")) return await this.open(at);
      }
      if (!this.image || $("which").value !== "all") showAlert($("correct-alert"), step > 0 ? "There are no further images of this kind." : "This is the first image of this kind.");
    } catch (error) {
      showAlert($("correct-alert"), error.message, { label: "Try again", run: () => this.go(position, step) });
    }
  }

  async open(position) {
    this.position = position;
    const { id, name } = this.entries[position];
    const image = await getJson(`api/labels/${encodeURIComponent(id)}`);
    showAlert($("correct-alert"));
    this.editor.show(pictureUrl(id, "full"), [image.photo.width, image.photo.height], name);
    $("correct-name").textContent = name;
    $("correct-captions").replaceChildren(...image.captions.map((caption) => create("li", { textContent: caption })));
    this.selected = null;
    this.show(image);
    $("correct-status").textContent = `${name}: ${formatCount(image.boxes.length, "box", "boxes")}${image.checked ? ", checked" : ""}`;
  }

  show(image) {
    this.image = image;
    if (!image.boxes.some(({ number }) => number === this.selected)) this.selected = null;
    $("undo").disabled = image.changes === 0;
    $("checked").textContent = image.checked ? "Not checked" : "Checked, next";
    $("names").replaceChildren(...this.names.map((name) => create("option", { value: name })));
    this.redraw();
  }

  redraw() {
    const drawn = this.image.boxes.map((box) => ({ ...box, box: [...box.box], colours: this.colours(box.number), rejected: box.verdict === "rejected" }));
    this.editor.setBoxes(drawn, this.selected);
    const focused = document.activeElement?.id;
    $("boxes").replaceChildren(...this.image.boxes.map((box) => this.row(box)));
    if (focused?.startsWith("box-")) $(focused)?.focus({ preventScroll: true });
  }

  colours(number) {
    return this.info.palette[number % this.info.palette.length];
  }

  // A row of the list: the number of the box, its name and phrase, and buttons.
  row(box) {
    const { number, name, phrase, verdict, score, confidence } = box;
    const about = `${name}, box ${number + 1}`;
    const field = (kind, value, label, list) => {
      const input = create("input", { id: `box-${kind}-${number}`, value, maxLength: 500, "aria-label": `${label} of ${about}`, autocomplete: "off", spellcheck: false });
      if (list) input.setAttribute("list", list);
      input.onfocus = () => this.select(number);
      input.onchange = () => this.change({ action: kind === "name" ? "rename" : "phrase", box: number, text: input.value });
      input.onkeydown = (event) => {
        if (event.key === "Escape") input.value = value;
        if (event.key === "Escape" || event.key === "Enter") this.editor.focus(number);
      };
      return input;
    };
    const button = (action, sign, label, pressed) => {
      const made = create("button", { id: `box-${action}-${number}`, type: "button", className: "quiet little", textContent: sign, title: label, "aria-label": `${label} ${about}` });
      if (pressed !== null) made.setAttribute("aria-pressed", String(pressed));
      made.onclick = () => this.change({ action, box: number });
      return made;
    };
    const choose = create("button", { id: `box-choose-${number}`, type: "button", className: "number", textContent: number + 1, "aria-label": `Select ${about}` });
    choose.onclick = () => {
      this.select(number);
      this.editor.focus(number);
    };
    const item = setColours(create("li", { className: [verdict, number === this.selected ? "chosen" : ""].join(" ").trim() }), this.colours(number));
    item.dataset.number = number;
    item.append(choose, field("name", name, "Name", "names"), field("phrase", phrase, "Phrase"));
    const facts = [score === null ? "added" : `score ${score.toFixed(2)}`, confidence === null ? "" : `${Math.round(100 * confidence)} % in the image`];
    item.append(create("span", { className: "fine", textContent: facts.filter(Boolean).join(", ") }));
    item.append(create("div", { className: "judge" }, button("accept", "✓", "Accept", verdict === "accepted"), button("reject", "✗", "Reject", verdict === "rejected"), button("delete", "Delete", "Delete", null)));
    return item;
  }

  select(number) {
    if (number === this.selected) return;
    this.editor.finish();
    this.selected = number;
    this.editor.setBoxes(this.editor.boxes, number);
    for (const item of $("boxes").children) item.classList.toggle("chosen", Number(item.dataset.number) === number);
  }

  /** Sends a change of the image that is shown, after those that were made before. */
  change(change) {
    const { id } = this.image.photo;
    this.waiting = this.waiting.then(async () => {
      if (this.image.photo.id !== id) return;
      const path = `api/labels/${encodeURIComponent(id)}`;
      try {
        const { text, edges, ...rest } = change;
        const image = await sendJson(path, { ...rest, text, edges: edges?.map((edge) => Math.round(edge * 100) / 100), changes: this.image.changes });
        showAlert($("correct-alert"));
        this.afterChange(change, image);
      } catch (error) {
        const image = await getJson(path).catch(() => this.image);
        this.show(image);
        showAlert($("correct-alert"), error.message);
      }
    });
    return this.waiting;
  }

  afterChange(change, image) {
    Object.assign(this.entries[this.position], { checked: image.checked });
    if (change.action === "add") this.selected = image.boxes.at(-1).number;
    for (const { name } of image.boxes) if (!this.names.includes(name)) this.names.push(name);
    this.show(image);
    const kept = image.boxes.filter(({ verdict }) => verdict !== "rejected").length;
    $("correct-status").textContent = `${change.action}: saved, ${formatCount(kept, "box", "boxes")}`;
    if (change.action === "add") {
      const field = $(`box-name-${this.selected}`);
      field.focus({ preventScroll: true });
      field.select();
    }
    if (change.action === "delete") $("add-box").focus({ preventScroll: true });
  }

  add(edges) {
    const last = this.image.boxes.at(-1)?.name ?? this.names[0] ?? "object";
    return this.change({ action: "add", edges, text: last });
  }

  addInTheMiddle() {
    const { width, height } = this.image.photo;
    return this.add([width * 0.35, height * 0.35, width * 0.65, height * 0.65]);
  }

  async check() {
    this.editor.finish();
    const { checked } = this.image;
    await this.change({ action: checked ? "uncheck" : "check" });
    if (this.image.checked === checked) return; // it was refused
    this.showProgress(await getJson("api/labels", { count: 1 }).catch(() => ({ checked: 0, all: this.entries.length })));
    if (!checked) await this.go(this.position + 1, 1);
  }

  // Single keys, outside of text fields and menus.
  onKey(event) {
    if ($("view-correct").hidden || !this.image || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
    const box = this.selected;
    const onBox = { a: "accept", x: "reject", Delete: "delete", Backspace: "delete" }[event.key];
    const others = {
      n: () => this.addInTheMiddle(),
      u: () => this.image.changes && this.change({ action: "undo" }),
      c: () => this.check(),
      "[": () => this.go(this.position - 1, -1),
      "]": () => this.go(this.position + 1, 1),
      Escape: () => this.select(null),
    };
    if (onBox && box !== null) this.keep(() => this.change({ action: onBox, box }));
    else if (event.key === "Enter" && event.target.matches("rect")) $(`box-name-${box}`)?.select();
    else if (others[event.key]) this.keep(others[event.key]);
    else return;
    event.preventDefault();
  }

  keep(action) {
    this.editor.finish();
    return action();
  }
}
