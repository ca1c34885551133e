// The view that grounds a caption in an image.

import { ApiError, pictureUrl, postForm } from "./api.js";
import { annotatedPng } from "./annotated_png.js";
import { $, create, formatNumber, showAlert } from "./elements.js";
import { FolderView } from "./folder.js";
import { listenForFiles } from "./image_input.js";
import { PhrasesView } from "./phrases.js";

const MAX_TOP = 10; // boxes for each phrase in a response
const MAX_CAPTIONS = 20; // one a line

export class GroundView {
  constructor(info) {
    this.info = info;
    this.image = null; // { file, id, name, url, shape }
    this.phrases = new PhrasesView(info);
    this.picture = this.phrases.picture;
    $("picture").append(this.picture.element);
    this.listenToForm();
    listenForFiles((file) => this.setFile(file));
    this.addControls();
    if (info.photos) this.folder = new FolderView((image) => this.setImage(image));
  }

  listenToForm() {
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
    addEventListener("resize", () => caption.offsetParent && caption.oninput());
    caption.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ground();
    };
  }

  addControls() {
    const { limits, formats } = this.info;
    $("limits").textContent = `JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF, up to ${formatNumber(limits.bytes / 1e6)} MB`;
    $("or-paste").textContent = this.info.photos ? ", paste one, or pick one below" : ", or paste one";
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
    this.request?.abort();
    this.phrases.clear();
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
    const { photo, phrases } = result;
    this.image.id = photo.id;
    if (!this.image.file) this.image.name = photo.name;
    $("link").hidden = Boolean(this.image.file);
    $("link-status").textContent = "";
    this.phrases.show(result);
    this.showError(phrases.length ? "" : "This caption has no noun phrase; try one with nouns, such as “a dog on the grass”.");
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

  async download(format) {
    const fields = { caption: this.phrases.result.caption, name: this.image.name.slice(-200), ...this.phrases.selection };
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
      this.save(await annotatedPng(this.picture, this.phrases.result, (p) => this.phrases.colours(p)), "boxes.png");
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
