// The view that shows the captions of a dataset, grounded, with their gold boxes.

import { getJson, pictureUrl } from "./api.js";
import { AnnotatedImage } from "./annotated_image.js";
import { renderCaption } from "./caption.js";
import { $, create, formatCount, formatNumber, showAlert } from "./elements.js";

const PAGE = 12;

export class BrowseView {
  constructor(info, onOpen) {
    this.info = info;
    this.onOpen = onOpen;
    this.next = 0;
    this.loads = 0; // only the latest load may change the page
    const { data } = info;
    $("no-data").hidden = data !== null;
    $("filters").hidden = $("browse-status").hidden = data === null;
    if (data === null) return;
    const addOptions = (select, names) => {
      select.append(create("option", { value: "", textContent: "any" }), ...names.map((name) => create("option", { value: name, textContent: name })));
      select.onchange = () => this.load(true);
      select.parentElement.hidden = !names.length;
    };
    addOptions($("type"), data.types);
    addOptions($("outcome"), data.outcomes);
    const gold = data.has_gold ? "gold boxes are dashed" : "no gold boxes, so outcomes are unknown";
    $("browse-about").textContent = `${data.name}, ${data.split}: ${formatCount(data.photos, "image")}, ${formatCount(data.captions, "caption")}; ${gold}`;
    $("browse-more").onclick = () => this.load(false);
  }

  /** Called when the view is shown; the first time, it loads a page. */
  onShown() {
    if (this.info.data !== null && this.loads === 0) this.load(true);
  }

  async load(anew) {
    this.loads += 1;
    const load = this.loads;
    if (anew) this.next = 0;
    showAlert($("browse-alert"));
    $("browsing").hidden = false;
    $("browse-more").disabled = true;
    $("cards").classList.toggle("stale", anew);
    $("browse-status").textContent = "Grounding";
    let missing = PAGE;
    let first = anew;
    try {
      // The service sends part of a page after a few seconds: a rare outcome takes many captions to find.
      while (missing > 0 && this.next !== null) {
        const page = await getJson("api/browse", { start: this.next, count: missing, type: $("type").value, outcome: $("outcome").value });
        if (load !== this.loads) return;
        if (first) $("cards").replaceChildren();
        $("cards").append(...page.items.map((item) => this.card(item)));
        $("cards").classList.remove("stale");
        first = false;
        missing -= page.items.length;
        this.next = page.next;
        const examined = page.next ?? page.total;
        $("browse-status").textContent = `${formatCount($("cards").children.length, "caption")} shown, ${formatNumber(examined)} of ${formatNumber(page.total)} examined`;
      }
      $("browse-more").hidden = this.next === null;
    } catch (error) {
      if (load !== this.loads) return;
      $("browse-status").textContent = "";
      showAlert($("browse-alert"), error.message, { label: "Try again", run: () => this.load(anew) });
    } finally {
      if (load === this.loads) {
        $("browsing").hidden = true;
        $("browse-more").disabled = false;
        $("cards").classList.remove("stale");
      }
    }
  }

  card({ photo, caption, phrases }) {
    const colours = (p) => this.info.palette[p % this.info.palette.length];
    const line = create("p", { className: "caption small" });
    const highlight = (target) => {
      picture.highlight(target?.phrase === undefined ? null : { phrase: target.phrase });
      for (const chip of line.querySelectorAll(".chip")) chip.classList.toggle("on", target?.phrase === Number(chip.dataset.phrase));
    };
    // The outcome of a phrase with gold boxes is that of its best box; any other phrase that is absent has no box.
    const hasBoxes = phrases.map((phrase) => phrase.present || phrase.outcome !== null);
    const picture = new AnnotatedImage({ onHighlight: highlight, tags: false });
    picture.show(pictureUrl(photo.id, "thumbnail"), { size: [photo.width, photo.height], shape: photo.shape, alt: photo.name });
    picture.setBoxes(phrases.flatMap((phrase, p) => [
      ...phrase.gold.map((box) => ({ box, phrase: p, gold: true, colours: colours(p) })),
      ...(hasBoxes[p] ? phrase.set_ranks : []).map((rank) => ({ box: phrase.boxes[rank], phrase: p, rank, colours: colours(p), label: phrase.text })),
    ]));
    renderCaption(line, {
      caption,
      phrases,
      colours: this.info.palette,
      describe: (p) => `${phrases[p].text}: ${!hasBoxes[p] ? "probably not in the image" : { ok: "right", null: "no gold box" }[phrases[p].outcome] ?? `wrong, ${phrases[p].outcome}`}`,
      badge: (p) => outcomeBadge(phrases[p].outcome),
      onHighlight: highlight,
      onSelect: highlight,
    });
    for (const chip of line.querySelectorAll(".chip")) chip.classList.toggle("absent", !hasBoxes[Number(chip.dataset.phrase)]);
    const open = create("button", { type: "button", className: "link fine", textContent: "Open", "aria-label": `Open ${photo.name}` });
    open.onclick = () => this.onOpen({ id: photo.id, name: photo.name, shape: photo.shape }, caption);
    const frame = create("div", { className: "frame" }, picture.element);
    frame.style.setProperty("--aspect", photo.shape[0] / photo.shape[1]);
    return create("li", { className: "card" }, frame, line, create("p", { className: "under fine" }, create("span", { textContent: photo.name }), open));
  }
}

function outcomeBadge(outcome) {
  if (!outcome) return null;
  const right = outcome === "ok";
  return create("span", { className: `badge ${right ? "right" : "wrong"}`, textContent: right ? "✓" : "✗", title: right ? "right" : outcome });
}
