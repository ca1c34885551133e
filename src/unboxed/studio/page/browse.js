// The third view: a dataset's captions, grounded, beside the boxes that people drew.

import { get, pictureOf } from "./api.js";
import { speak } from "./caption.js";
import { $, alarm, count, make, number } from "./elements.js";
import { Picture } from "./picture.js";

const PAGE = 12;
const SIGNS = { ok: "✓" };

export class BrowseView {
  constructor(facts, open) {
    this.facts = facts;
    this.open = open;
    this.next = 0;
    const { data } = facts;
    $("no-data").hidden = data !== null;
    $("filters").hidden = $("browse-status").hidden = data === null;
    if (data === null) return;
    const fill = (select, names, any) => {
      select.append(make("option", { value: "", textContent: any }), ...names.map((name) => make("option", { value: name, textContent: name })));
      select.onchange = () => this.load(true);
      select.parentElement.hidden = !names.length;
    };
    fill($("type"), data.types, "any");
    fill($("outcome"), data.outcomes, "right or wrong");
    $("browse-about").textContent = `${data.name}, ${data.split}: ${count(data.photos, "image")}, ${count(data.captions, "caption")}${data.has_gold ? "; gold boxes are dashed" : "; no gold boxes, so nothing is told right or wrong"}`;
    $("browse-more").onclick = () => this.load(false);
  }

  /** Called when the view is seen; the first time it grounds a page. */
  seen() {
    if (this.facts.data !== null && !this.asked) this.load(true);
  }

  async load(anew) {
    this.asked = true;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    if (anew) this.next = 0;
    alarm($("browse-alert"));
    $("browsing").hidden = false;
    $("browse-more").disabled = true;
    $("cards").classList.toggle("stale", anew);
    $("browse-status").textContent = "Grounding";
    let wanted = PAGE;
    let first = anew;
    try {
      // The service sends what it has after a moment: a rare kind of answer takes many captions to find.
      while (wanted > 0 && this.next !== null) {
        const page = await get("api/browse", { start: this.next, count: wanted, type: $("type").value, outcome: $("outcome").value });
        if (turn !== this.turn) return;
        if (first) $("cards").replaceChildren();
        $("cards").append(...page.items.map((item) => this.card(item)));
        $("cards").classList.remove("stale");
        first = false;
        wanted -= page.items.length;
        this.next = page.next;
        const through = page.next ?? page.total;
        $("browse-status").textContent = `${count($("cards").children.length, "caption")} shown, ${number(through)} of ${number(page.total)} looked at`;
      }
      $("browse-more").hidden = this.next === null;
    } catch (problem) {
      if (turn !== this.turn) return;
      $("browse-status").textContent = "";
      alarm($("browse-alert"), problem.message, { label: "Try again", run: () => this.load(anew) });
    } finally {
      if (turn === this.turn) {
        $("browsing").hidden = true;
        $("browse-more").disabled = false;
        $("cards").classList.remove("stale");
      }
    }
  }

  card({ photo, caption, phrases }) {
    const colours = (p) => this.facts.palette[p % this.facts.palette.length];
    const line = make("p", { className: "spoken small" });
    const light = (target) => {
      picture.light(target?.phrase === undefined ? null : { phrase: target.phrase });
      for (const chip of line.querySelectorAll(".chip")) chip.classList.toggle("on", target?.phrase === Number(chip.dataset.phrase));
    };
    const picture = new Picture({ point: light, tags: false });
    picture.show(pictureOf(photo.id, "thumbnail"), { size: [photo.width, photo.height], shape: photo.shape, alt: photo.name });
    picture.setBoxes(phrases.flatMap((phrase, p) => [
      ...phrase.gold.map((box) => ({ box, phrase: p, gold: true, colours: colours(p) })),
      ...phrase.boxes.slice(0, 1).map((box) => ({ box, phrase: p, rank: 0, colours: colours(p), label: phrase.text })),
    ]));
    speak(line, {
      caption,
      phrases,
      colours: this.facts.palette,
      describe: (p) => `${phrases[p].text}: ${{ ok: "right", null: "no gold box" }[phrases[p].outcome] ?? `wrong, ${phrases[p].outcome}`}`,
      mark: (p) => (phrases[p].outcome ? make("span", { className: `sign ${phrases[p].outcome === "ok" ? "right" : "wrong"}`, textContent: SIGNS[phrases[p].outcome] ?? "✗", title: phrases[p].outcome === "ok" ? "right" : phrases[p].outcome }) : null),
      point: light,
      pin: light,
    });
    const open = make("button", { type: "button", className: "link fine", textContent: "Open", "aria-label": `Open ${photo.name}` });
    open.onclick = () => this.open({ id: photo.id, name: photo.name, shape: photo.shape }, caption);
    const frame = make("div", { className: "frame" }, picture.element);
    frame.style.setProperty("--aspect", photo.shape[0] / photo.shape[1]);
    return make("li", { className: "card" }, frame, line, make("p", { className: "under fine" }, make("span", { textContent: photo.name }), open));
  }
}
