// The view that finds images for a text, with the boxes that match its phrases.

import { jsonLines, pictureUrl } from "./api.js";
import { AnnotatedImage } from "./annotated_image.js";
import { renderCaption } from "./caption.js";
import { $, create, formatCount, formatNumber, showAlert } from "./elements.js";

export class SearchView {
  constructor(info, onOpen) {
    this.info = info;
    this.onOpen = onOpen;
    const hasIndex = info.index !== null;
    $("no-index").hidden = hasIndex;
    $("search-form").hidden = $("search-status").hidden = !hasIndex;
    if (!hasIndex) return;
    $("query").maxLength = info.limits.caption;
    $("search-status").textContent = `${formatCount(info.index, "image")} in the index`;
    $("search-form").onsubmit = (event) => {
      event.preventDefault();
      this.search($("query").value.trim());
    };
  }

  async search(text) {
    if (!text) return;
    this.request?.abort();
    const request = (this.request = new AbortController());
    showAlert($("search-alert"));
    $("searching").hidden = false;
    $("gallery").classList.add("stale");
    try {
      for await (const progress of jsonLines("api/search", { text }, request.signal)) {
        if (progress.error) showAlert($("search-alert"), progress.error);
        else if (progress.hits) this.show(text, progress);
        else $("search-status").textContent = `Searching ${formatCount(progress.searched, "image")}, ${progress.seconds.toFixed(1)} s`;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      showAlert($("search-alert"), error.message, { label: "Try again", run: () => this.search(text) });
    } finally {
      if (this.request === request) {
        $("searching").hidden = true;
        $("gallery").classList.remove("stale");
      }
    }
  }

  show(text, { hits, searched, seconds }) {
    const unknown = [...new Set(hits.flatMap((hit) => hit.phrases.flatMap((phrase) => phrase.unknown)))];
    $("search-status").textContent = hits.length
      ? `The best ${formatNumber(hits.length)} of ${formatCount(searched, "image")}, in ${seconds.toFixed(2)} s${unknown.length ? `; unknown: ${unknown.join(", ")}` : ""}`
      : "No image was found.";
    const pictures = [];
    const highlight = (target) => pictures.forEach((picture) => picture.highlight(target?.phrase === undefined ? null : { phrase: target.phrase }));
    const phrases = hits[0]?.phrases ?? [];
    $("query-line").hidden = !phrases.length;
    renderCaption($("query-line"), {
      caption: text,
      phrases,
      colours: this.info.palette,
      describe: (p) => `${phrases[p].text}: highlight in all images`,
      onHighlight: highlight,
      onSelect: highlight,
    });
    $("gallery").replaceChildren(...hits.map((hit, rank) => this.hit(hit, rank, text, pictures)));
  }

  // An item of the gallery; its picture is added to `pictures`.
  hit({ photo, phrases, score }, rank, text, pictures) {
    const { id, name, width, height, shape } = photo;
    const picture = new AnnotatedImage({ tags: false });
    pictures.push(picture);
    picture.show(pictureUrl(id, "thumbnail"), { size: [width, height], shape, alt: "" });
    picture.setBoxes(phrases.flatMap((phrase, p) => phrase.set_ranks.map((rank) => ({ box: phrase.boxes[rank], phrase: p, rank, colours: this.info.palette[p % this.info.palette.length], label: phrase.text }))));
    const found = phrases.map((phrase) => phrase.text).join(", ");
    const label = `${rank + 1}: ${name}, match ${score.toFixed(2)}${found ? `, with ${found}` : ""}. Open`;
    const under = create("span", { className: "under" }, create("span", { textContent: name }), create("b", { textContent: `match ${score.toFixed(2)}` }));
    const button = create("button", { type: "button", className: "hit", "aria-label": label }, picture.element, under);
    button.onclick = () => this.onOpen({ id, name, shape }, text);
    const item = create("li", {}, button);
    item.style.setProperty("--aspect", shape[0] / shape[1]);
    return item;
  }
}
