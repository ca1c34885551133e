// The second view: images that fit a text, with the boxes that matched its phrases.

import { lines, pictureOf } from "./api.js";
import { speak } from "./caption.js";
import { $, alarm, count, make, number } from "./elements.js";
import { Picture } from "./picture.js";

export class SearchView {
  constructor(facts, open) {
    this.facts = facts;
    this.open = open;
    const there = facts.index !== null;
    $("no-index").hidden = there;
    $("search-form").hidden = $("search-status").hidden = !there;
    if (!there) return;
    $("query").maxLength = facts.limits.caption;
    $("search-status").textContent = `${count(facts.index, "image")} can be searched.`;
    $("search-form").onsubmit = (event) => {
      event.preventDefault();
      this.search($("query").value.trim());
    };
  }

  async search(text) {
    if (!text) return;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    alarm($("search-alert"));
    $("searching").hidden = false;
    $("gallery").classList.add("stale");
    try {
      for await (const news of lines("api/search", { text }, asking.signal)) {
        if (news.error) alarm($("search-alert"), news.error);
        else if (news.hits) this.show(text, news);
        else $("search-status").textContent = `Searching ${count(news.searched, "image")}, ${news.seconds.toFixed(1)} s`;
      }
    } catch (problem) {
      if (problem.name === "AbortError") return;
      alarm($("search-alert"), problem.message, { label: "Try again", run: () => this.search(text) });
    } finally {
      if (this.asking === asking) {
        $("searching").hidden = true;
        $("gallery").classList.remove("stale");
      }
    }
  }

  show(text, { hits, searched, seconds }) {
    $("search-status").textContent = hits.length
      ? `The best ${number(hits.length)} of ${count(searched, "image")}, in ${seconds.toFixed(2)} s`
      : "Nothing was found.";
    const pictures = [];
    const light = (target) => pictures.forEach((picture) => picture.light(target?.phrase === undefined ? null : { phrase: target.phrase }));
    const phrases = hits[0]?.phrases ?? [];
    $("query-line").hidden = !phrases.length;
    speak($("query-line"), {
      caption: text,
      phrases,
      colours: this.facts.palette,
      describe: (p) => `${phrases[p].text}: show in all images`,
      point: light,
      pin: light,
    });
    $("gallery").replaceChildren(...hits.map((hit, place) => {
      const picture = new Picture({ tags: false });
      pictures.push(picture);
      const { id, name, width, height, shape } = hit.photo;
      picture.show(pictureOf(id, "thumbnail"), { size: [width, height], shape, alt: "" });
      picture.setBoxes(hit.phrases.flatMap((phrase, p) => phrase.boxes.slice(0, 1).map((box) => ({ box, phrase: p, rank: 0, colours: this.facts.palette[p % this.facts.palette.length], label: phrase.text }))));
      const found = hit.phrases.map((phrase) => phrase.text).join(", ");
      const button = make("button", { type: "button", className: "hit", "aria-label": `${place + 1}: ${name}, score ${hit.score.toFixed(2)}${found ? `, with ${found}` : ""}. Open` }, picture.element, make("span", { className: "under" }, make("span", { textContent: name }), make("b", { textContent: hit.score.toFixed(2) })));
      button.onclick = () => this.open({ id, name, shape }, text);
      const item = make("li", {}, button);
      item.style.setProperty("--aspect", shape[0] / shape[1]);
      return item;
    }));
  }
}
