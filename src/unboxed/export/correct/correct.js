// The view that corrects the boxes of `unboxed label`: in the studio and on the review page.

import { BoxEditor } from "./box_editor.js";
import { $, create, formatCount, formatNumber, setColours, showAlert } from "./elements.js";

const PAGE = 200;

const VIEW = `
<div class="filters">
  <label>Images <select id="which"><option value="open">not checked</option><option value="all">all</option><option value="checked">checked</option></select></label>
  <span><button id="previous-image" class="quiet little" type="button" aria-keyshortcuts="[">Previous</button>
  <button id="next-image" class="quiet little" type="button" aria-keyshortcuts="]">Next</button></span>
  <p id="correct-about" class="fine" role="status"></p>
</div>
<div id="correct-alert" class="alert" role="alert" hidden></div>
<p id="correct-status" class="visually-hidden" role="status"></p>
<div class="workbench">
  <div class="card stage">
    <p id="correct-name" class="fine"></p>
    <div id="editor" class="picture-frame"></div>
    <ul id="correct-captions" class="captions"></ul>
  </div>
  <aside class="card results" aria-label="Boxes of the image">
    <h2>Boxes</h2>
    <datalist id="names"></datalist>
    <ol id="boxes" class="boxes"></ol>
    <div class="downloads">
      <button id="add-box" class="quiet little" type="button" aria-keyshortcuts="n">Add a box</button>
      <button id="undo" class="quiet little" type="button" aria-keyshortcuts="u">Undo</button>
      <button id="checked" class="strong little" type="button" aria-keyshortcuts="c">Checked, next</button>
    </div>
    <div id="correct-downloads" class="downloads"></div>
    <details class="keys">
      <summary>Keys</summary>
      <dl>
        <dt>Tab</dt><dd>from box to box</dd>
        <dt>arrows</dt><dd>move the box; with Shift its right and lower edges; with Alt ten times as far</dd>
        <dt>A, X, Delete</dt><dd>accept, reject, delete the box</dd>
        <dt>Enter</dt><dd>edit the name, then back to the box</dd>
        <dt>N, U</dt><dd>new box, undo</dd>
        <dt>C, [, ]</dt><dd>checked and next image, previous, next</dd>
      </dl>
    </details>
  </aside>
</div>`;

/**
 * `store` has the images and keeps their corrections:
 * `list(start, count)` gives `{ photos: [{ id, name, checked }], names, checked, all, precision }`,
 * `image(id)` an image with its boxes, `change(image, change)` the image after a change, and `picture(id)` its address.
 * `downloads` are shown below the boxes. `palette` has pairs of a colour and its text colour.
 */
export class CorrectView {
  constructor(place, store, palette, ...downloads) {
    Object.assign(this, { place, store, palette });
    this.entries = []; // of the list, in the order of review
    this.position = -1;
    this.image = null;
    this.selected = null;
    this.waiting = Promise.resolve(); // changes are sent one after another
    this.editor = new BoxEditor({
      onSelect: (number) => this.select(number),
      onMove: (number, edges) => this.change({ action: "move", box: number, edges }),
      onDraw: (edges) => this.add(edges),
    });
    place.innerHTML = VIEW;
    $("editor").append(this.editor.element);
    $("correct-downloads").append(...downloads);
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
    if (!this.entries.length) await this.go(0, 1);
  }

  /** Shows the image at a position of the list, with one of its boxes selected. The list is loaded again. */
  async openImage(position, number = null) {
    await this.waiting;
    this.entries = [];
    while (this.entries.length <= position && (await this.more())); // a page at a time
    await this.open(position);
    this.select(number);
    if (number !== null) this.editor.focus(number);
  }

  // Loads further entries of the list. Returns false at its end.
  async more() {
    const list = await this.store.list(this.entries.length, PAGE);
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
      showAlert($("correct-alert"), `This is the ${step > 0 ? "last" : "first"} image${$("which").value === "all" ? "" : " of this kind"}.`);
    } catch (error) {
      showAlert($("correct-alert"), error.message, { label: "Try again", run: () => this.go(position, step) });
    }
  }

  async open(position) {
    this.position = position;
    const { id, name } = this.entries[position];
    const image = await this.store.image(id);
    showAlert($("correct-alert"));
    this.editor.show(this.store.picture(id), [image.photo.width, image.photo.height], name);
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
    const field = document.activeElement;
    const typing = field.matches("#boxes input");
    if (typing && field.value !== field.defaultValue) return; // its row is drawn again when its text is saved
    const selected = typing && field.selectionEnd > field.selectionStart;
    $("boxes").replaceChildren(...this.image.boxes.map((box) => this.row(box)));
    this.reveal();
    if (!field.id.startsWith("box-")) return;
    $(field.id)?.focus({ preventScroll: true });
    if (selected) $(field.id)?.select();
  }

  colours(number) {
    return this.palette[number % this.palette.length];
  }

  // A row of the list: the number of the box, its name and phrase, and buttons.
  row(box) {
    const { number, name, phrase, verdict, score, confidence } = box;
    const about = `${name}, box ${number + 1}`;
    const field = (kind, value, label, list) => {
      const input = create("input", { id: `box-${kind}-${number}`, value, defaultValue: value, maxLength: 500, "aria-label": `${label} of ${about}`, autocomplete: "off", spellcheck: false });
      if (list) input.setAttribute("list", list);
      input.onchange = () => this.change({ action: kind === "name" ? "rename" : "phrase", box: number, text: input.value });
      input.onkeydown = (event) => {
        if (event.key !== "Escape" && event.key !== "Enter") return;
        event.preventDefault();
        if (event.key === "Escape") input.value = value;
        this.editor.focus(number);
        if (event.key === "Escape") this.redraw();
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
    item.addEventListener("focusin", () => this.select(number)); // keys act on the box that has the focus
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
    this.reveal();
  }

  // Scrolls the list, and not the page, so that the row of the selected box is seen.
  reveal() {
    const list = $("boxes");
    const row = list.querySelector(".chosen")?.getBoundingClientRect();
    if (row === undefined) return;
    const { top, bottom } = list.getBoundingClientRect();
    if (row.top < top) list.scrollTop -= top - row.top;
    else if (row.bottom > bottom) list.scrollTop += row.bottom - bottom;
  }

  /** Sends a change of the image that is shown, after those that were made before. */
  change(change) {
    const { id } = this.image.photo;
    this.waiting = this.waiting.then(async () => {
      if (this.image.photo.id !== id) return;
      try {
        const edges = change.edges?.map((edge) => Math.round(edge * 100) / 100);
        const image = await this.store.change(this.image, { ...change, edges });
        showAlert($("correct-alert"));
        this.afterChange(change, image);
      } catch (error) {
        const image = await this.store.image(id).catch(() => this.image);
        this.show(image);
        showAlert($("correct-alert"), error.message);
      }
    });
    return this.waiting;
  }

  afterChange(change, image) {
    Object.assign(this.entries[this.position], { checked: image.checked });
    const added = change.action === "add" ? image.boxes.at(-1).number : null;
    if (added !== null) this.selected = added;
    for (const { name } of image.boxes) if (!this.names.includes(name)) this.names.push(name);
    this.show(image);
    const kept = image.boxes.filter(({ verdict }) => verdict !== "rejected").length;
    $("correct-status").textContent = `${change.action}: saved, ${formatCount(kept, "box", "boxes")}`;
    if (added !== null) {
      const field = $(`box-name-${added}`); // drawing the rows again gave the focus back to an earlier one
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
    this.showProgress(await this.store.list(0, 1).catch(() => ({ checked: 0, all: this.entries.length })));
    if (!checked) await this.go(this.position + 1, 1);
  }

  // Single keys, outside of text fields and menus.
  onKey(event) {
    if (!this.place.getClientRects().length || !this.image || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea") || document.querySelector("dialog[open]")?.contains(this.place) === false) return;
    const box = this.selected;
    const onBox = { a: "accept", x: "reject", Delete: "delete", Backspace: "delete" }[event.key];
    const others = {
      n: () => this.addInTheMiddle(),
      u: () => this.image.changes && this.change({ action: "undo" }),
      c: () => this.check(),
      "[": () => this.go(this.position - 1, -1),
      "]": () => this.go(this.position + 1, 1),
      Escape: box === null ? undefined : () => this.select(null),
    };
    if (onBox && box !== null) this.keep(() => this.change({ action: onBox, box }));
    else if (event.key === "Enter" && event.target.matches("rect")) this.keep(() => $(`box-name-${box}`)?.select());
    else if (others[event.key]) this.keep(others[event.key]);
    else return;
    event.preventDefault();
  }

  keep(action) {
    this.editor.finish();
    return action();
  }
}
